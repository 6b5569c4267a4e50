"""Sokoban as text: boxes are pushed onto targets, and a push cannot be taken back.

Levels in the text format of Boxoban (Guez et al., github.com/google-deepmind/boxoban-levels) and of other collections,
or levels made from a seed with a stated number of pushes.
"""

ENVIRONMENT = "envs.sokoban.environment:Sokoban"
