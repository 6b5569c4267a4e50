"""The contract's checks accept a world that keeps it and catch worlds that break it, each by the right check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from envs.contract import CHECKS, ContractError, Subject
from envs.types import Info
from tests.envs.corridor import Corridor, CorridorConfig, Wanderer


class Forgetful(Corridor):
    """Starts elsewhere after a step."""

    def reset(self, **options: Any) -> tuple[str, Info]:
        text, info = super().reset(**options)
        return text + ("!" if self.tired else ""), info

    tired = False

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        self.tired = True
        return super().step(action)


class Shuffling(Corridor):
    """Draws a longer list anew."""

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        return super().sample_tasks(seed + count, count)


class Careless(Corridor):
    """Plays another task than the named one."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:
        return super().reset(options={"task": "train-0"} if options else None, seed=seed)


class Unsorted(Corridor):
    """Lists commands in any order."""

    def _commands(self) -> list[str]:
        return ["go right", "go left"]


class Idle(Corridor):
    """Offers a command that does nothing."""

    def _commands(self) -> list[str]:
        return sorted(["go right", "sing"])

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        return super().step("nothing" if action == "sing" else action)


class Restless(Corridor):
    """Goes on after the end."""

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        self.over = False
        return super().step(action)


class Endless(Corridor):
    """Never ends."""

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        self.turns = self.place = 0
        return super().step(action)


class Leaky(Corridor):
    """Evaluates on what it trains on."""

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        return [task.replace("test", "train") for task in super().sample_tasks(seed, count)]


class Unsolvable(Corridor):
    """Has an oracle that wanders."""

    players = {"random": lambda env, seed: Wanderer(seed), "oracle": lambda env, seed: Wanderer(seed)}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_turns": 3, "length": 5, **options})


class Unexplained(Corridor):
    """Has an option without a meaning."""

    @dataclass(frozen=True)
    class Options(CorridorConfig):
        depth: int = 0

    config_class = Options


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_world_keeps_every_rule(check: str):
    assert CHECKS[check](Subject(f"{__name__}:Corridor"))


@pytest.mark.parametrize(
    ("world", "check", "rule"),
    [
        (Forgetful, "reset", "reset after a step gives the same start"),
        (Shuffling, "tasks", "a longer draw starts with the shorter one"),
        (Careless, "tasks", "starts it, not 'train-0'"),
        (Unsorted, "reset", "admissible_commands are sorted"),
        (Idle, "commands", "'sing' is not answered like nonsense"),
        (Restless, "episodes", "a finished episode"),
        (Endless, "episodes", "an episode ends within"),
        (Leaky, "splits", "training never plays a task of evaluation"),
        (Unsolvable, "players", "the oracle wins every task"),
        (Unexplained, "options", "option 'depth' has a 'help'"),
    ],
)
def test_a_bad_world_is_caught(world: type[Corridor], check: str, rule: str):
    with pytest.raises(ContractError, match=rule):
        CHECKS[check](Subject(f"{__name__}:{world.__name__}"))
