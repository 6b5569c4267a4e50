"""ScienceWorld (Wang et al., arXiv 2203.07540): thirty kinds of elementary science experiments in text.

The world is the `scienceworld` package of the extra `[scienceworld]`, a simulator that runs in Java.
"""

ENVIRONMENT = "envs.scienceworld.environment:ScienceWorld"
