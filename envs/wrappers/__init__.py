"""Worlds around worlds: a time limit, read actions, listed commands, a window of history, shaped rewards.

A wrapper is itself a `TextEnv` that keeps the contract, so wrappers go around each other, and around any world:

    env = TimeLimit(AdmissibleList(envs.make("alfworld")), 10)

To be named on a command line a wrapped world needs a class; `wrapped` makes one out of a function:

    @wrapped("alfworld")
    def ShortHouse(env):
        "ALFWorld with ten turns and the commands in the text."
        return TimeLimit(AdmissibleList(env), 10)

and then `env=my_module:ShortHouse`, or `envs.register("short_house", "my_module:ShortHouse")`. Its options are those of
the world inside, its tasks have the same names, and its players play the world inside as they would without wrappers.

Left out: wrappers that change tasks or options.
"""

from envs.wrappers.rewards import RewardShaping, potential_based
from envs.wrappers.texts import ActionParsing, AdmissibleList, HistoryWindow, command_in
from envs.wrappers.time_limit import TimeLimit
from envs.wrappers.wrapping import Played, Wrapper, wrapped

__all__ = [
    "ActionParsing",
    "AdmissibleList",
    "HistoryWindow",
    "Played",
    "RewardShaping",
    "TimeLimit",
    "Wrapper",
    "command_in",
    "potential_based",
    "wrapped",
]
