"""Wrapped worlds with names, made as a user makes them."""

from __future__ import annotations

from envs.types import Info, TextEnv
from envs.wrappers import (
    ActionParsing,
    AdmissibleList,
    HistoryWindow,
    Played,
    RewardShaping,
    TimeLimit,
    Wrapper,
    potential_based,
    wrapped,
)

CORRIDOR = "tests.envs.corridor:Corridor"


def nearness(info: Info) -> float:
    return float(info["anchor"])


def costly(played: Played) -> float:
    return played.reward - 0.1


@wrapped(CORRIDOR)
def Plain(env: TextEnv) -> TextEnv:
    """A corridor that nothing is changed of."""
    return Wrapper(env)


@wrapped(CORRIDOR)
def Short(env: TextEnv) -> TextEnv:
    """A corridor of few turns."""
    return TimeLimit(env, 4)


@wrapped(CORRIDOR)
def Heard(env: TextEnv) -> TextEnv:
    """A corridor that reads generously."""
    return ActionParsing(env)


@wrapped(CORRIDOR)
def Listed(env: TextEnv) -> TextEnv:
    """A corridor that says what can be done."""
    return AdmissibleList(env)


@wrapped(CORRIDOR)
def Remembered(env: TextEnv) -> TextEnv:
    """A corridor that shows where one was."""
    return HistoryWindow(env, 2)


@wrapped(CORRIDOR)
def Costly(env: TextEnv) -> TextEnv:
    """A corridor where turns cost."""
    return RewardShaping(env, costly)


@wrapped(CORRIDOR)
def Guided(env: TextEnv) -> TextEnv:
    """A corridor that pays for coming nearer."""
    return RewardShaping(env, potential_based(nearness))


@wrapped("tests.envs.test_contract:Sums")
def Everything(env: TextEnv) -> TextEnv:
    """All wrappers around a world of free text."""
    return TimeLimit(HistoryWindow(AdmissibleList(ActionParsing(RewardShaping(env, costly))), 3), 15)


NAMES = ("Plain", "Short", "Heard", "Listed", "Remembered", "Costly", "Guided", "Everything")
