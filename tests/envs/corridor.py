"""A world of one corridor, small enough to check everything that is built around environments."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from envs.config_schema import key
from envs.errors import InputError
from envs.types import Info, Player, TextEnv


@dataclass(frozen=True)
class CorridorConfig:
    """Options of the corridor."""

    length: int = key(3, "rooms to the goal", unit="rooms", minimum=1)
    max_turns: int = key(20, "turns after which the episode is cut", unit="turns", minimum=1)
    split: str = key("train", "which corridors", choices=("train", "test"))
    light: str = key("lit", "what can be seen", choices=("lit", "dark"))


class Rightward:
    """The oracle."""

    def act(self, text: str, info: Info) -> str:
        return "go right"


class Wanderer:
    """Plays any admissible command."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def act(self, text: str, info: Info) -> str:
        return self._random.choice(info["admissible_commands"])


class Corridor(TextEnv):
    """Walk right until the door."""

    config_class = CorridorConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {
        "random": lambda env, seed: Wanderer(seed),
        "oracle": lambda env, seed: Rightward(),
    }

    def __init__(self, **options: Any) -> None:
        self.config = CorridorConfig(**options)

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        draw = random.Random(seed)
        return [f"{self.config.split}-{draw.randrange(self.config.length)}" for _ in range(count)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:
        self.task = options["task"] if options else self.sample_tasks(seed or 0, 1)[0]
        split, _, place = self.task.partition("-")
        if split not in ("train", "test") or not place.isdigit():
            raise InputError(f"the corridor has no task {self.task!r}.")
        self.place, self.turns, self.over = int(place), 0, False
        return self._text(), self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        if self.over:
            return self._text(), 0.0, self.won, not self.won, self._info()
        self.turns += 1
        known = action in self._commands()
        if known:
            self.place += {"go right": 1, "go left": -1}[action]
        truncated = not self.won and self.turns >= self.config.max_turns
        self.over = self.won or truncated
        return self._text() if known else "Nothing happens.", float(self.won), self.won, truncated, self._info()

    @property
    def evaluation_split(self) -> str:
        return "test"

    @property
    def won(self) -> bool:
        return self.place >= self.config.length

    def _commands(self) -> list[str]:
        return ["go left", "go right"] if self.place else ["go right"]

    def _text(self) -> str:
        return f"You are in room {self.place}."

    def _info(self) -> Info:
        return {
            "admissible_commands": self._commands(),
            "anchor": str(self.place),
            "won": self.won,
            "goal": "reach the door",
            "task": self.task,
            "task_type": "walk",
        }
