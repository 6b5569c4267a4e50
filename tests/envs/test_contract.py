"""The contract's checks accept a world that keeps it and catch worlds that break it, each by the right check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import envs
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


class Garbled(Corridor):
    """Says what cannot be written as UTF-8."""

    def _text(self) -> str:
        return "\ud800"


class ClosedOnce(Corridor):
    """Fails when it is closed again."""

    def close(self) -> None:
        del self.config


class Sulking(Corridor):
    """Starts elsewhere once it was asked for a task that does not exist."""

    def reset(self, **options: Any) -> tuple[str, Info]:
        try:
            text, info = super().reset(**options)
        except envs.InputError:
            self.offended = True
            raise
        return text + ("!" if self.offended else ""), info

    offended = False


class Unsendable(Corridor):
    """Answers with something that no other process can be sent."""

    def _info(self) -> Info:
        return {**super()._info(), "look": lambda: self.place}


class Doubled(Corridor):
    """Loses its place when it is copied."""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "place": 0}


class Unkept(Corridor):
    """Holds what does not pickle, as it may."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.look = lambda: self.place


class Hashing(Corridor):
    """Says what depends on Python's hashes, which differ between processes."""

    def _text(self) -> str:
        return f"You are in room {self.place}, {hash('room')}."


class Sums(Corridor):
    """Wants the number of rooms in words: free text."""

    free_text: ClassVar[bool] = True
    players = {"random": lambda env, seed: Guess()}  # noqa: RUF012

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        return super().step("go right" if "right" in action else action)

    def _info(self) -> Info:
        return {**super()._info(), "admissible_commands": []}


class Flattering(Corridor):
    """Calls every action valid."""

    def _info(self) -> Info:
        return {**super()._info(), "is_action_valid": True}


class Strict(Corridor):
    """Calls no action valid."""

    def _info(self) -> Info:
        return {**super()._info(), "is_action_valid": not self.turns}


class Wordy(Corridor):
    """Says in words whether an action was valid."""

    def _info(self) -> Info:
        valid: Any = "yes"
        return {**super()._info(), "is_action_valid": valid}


class Generous(Corridor):
    """Takes an action that it does not list."""

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        known = "go right" if action == "walk" else action
        valid = known in self._commands()
        *said, info = super().step(known)
        return *said, {**info, "is_action_valid": valid}  # type: ignore[return-value]


class Guess:
    """Gives a long answer."""

    def act(self, text: str, info: Info) -> str:
        return "I think\nthat one should go right."


class Helpful(Sums):
    """Takes free text and lists commands."""

    def _info(self) -> Info:
        return {**super()._info(), "admissible_commands": ["go right"]}


@pytest.mark.parametrize("check", CHECKS)
def test_a_world_of_free_text_keeps_every_rule(check: str):
    assert CHECKS[check](Subject(f"{__name__}:Sums"))


@pytest.mark.parametrize("check", CHECKS)
def test_a_world_may_take_more_than_it_lists(check: str):
    assert CHECKS[check](Subject(f"{__name__}:Generous"))


def test_an_environment_need_not_pickle():
    assert "the environment itself does not" in CHECKS["pickling"](Subject(f"{__name__}:Unkept"))


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
        (Flattering, "commands", "nonsense is not said to be a valid action"),
        (Strict, "commands", "admissible command 'go .*' is a valid action"),
        (Wordy, "reset", "is_action_valid.* is a bool, not 'yes'"),
        (Restless, "episodes", "a finished episode"),
        (Endless, "episodes", "an episode ends within"),
        (Leaky, "splits", "training never plays a task of evaluation"),
        (Unsolvable, "players", "the oracle wins every task"),
        (Unexplained, "options", "option 'depth' has a 'help'"),
        (Helpful, "reset", "there are no admissible commands"),
        (Garbled, "spaces", "texts are in observation_space"),
        (ClosedOnce, "closing", "closed twice"),
        (Sulking, "errors", "after a task that does not exist, reset starts a task as ever"),
        (Unsendable, "pickling", "pickles"),
        (Doubled, "pickling", "a pickled environment goes on as the original"),
        (Hashing, "processes", "starts in another process as here"),
    ],
)
def test_a_bad_world_is_caught(world: type[Corridor], check: str, rule: str):
    with pytest.raises(ContractError, match=rule):
        CHECKS[check](Subject(f"{__name__}:{world.__name__}"))
