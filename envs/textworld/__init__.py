"""TextWorld (Côté et al., arXiv 1806.11532): text games made from a seed, or played from files.

The games are made, compiled and played by the `textworld` package of the extra `[textworld]`.
"""

ENVIRONMENT = "envs.textworld.environment:TextWorld"
