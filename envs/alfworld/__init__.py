"""ALFWorld (Shridhar et al., arXiv 2010.03768): household tasks in text, played by a native engine.

The engine reads the published `game.tw-pddl` files and says byte for byte what the stock engine says, thousands of
times faster; without data a generator makes games of the same kind.
"""

ENVIRONMENT = "envs.alfworld.environment:ALFWorld"
