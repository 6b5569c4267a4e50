"""A world that even a random model wins now and then. It imports no torch: workers of a pool start quickly with it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from envs.config_schema import key
from envs.errors import InputError
from envs.types import Info, Player, TextEnv


@dataclass(frozen=True)
class GuessConfig:
    """Options of the world."""

    split: str = key("train", "which doors", choices=("train", "test"))
    max_turns: int = key(3, "guesses allowed", unit="turns", minimum=1)
    one_in: int = key(4, "about one of so many letters opens the door; 0: none does", minimum=0)
    broken: bool = key(False, "the door breaks at the first guess")


class Guess(TextEnv):
    """Say the word. Whether it opens the door depends on its first letter alone, so there is something to learn."""

    config_class: ClassVar[type[Any]] = GuessConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {}

    def __init__(self, **options: Any) -> None:
        self.config = GuessConfig(**options)

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        return [f"{self.config.split}:{(seed + index) % 2**31}" for index in range(count)]

    @property
    def evaluation_split(self) -> str:
        return "test"

    def content_of(self, task: str) -> str:
        return f"door {zlib.crc32(task.encode()) % 7}"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:
        self.task = options["task"] if options else self.sample_tasks(seed or 0, 1)[0]
        if self.task.partition(":")[0] not in ("train", "test"):
            raise InputError(f"there is no door {self.task!r}.")
        self.turn, self.won = 0, False
        return f"You see a door {zlib.crc32(self.task.encode()) % 7} .", self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        if self.config.broken:
            raise RuntimeError("the door broke")
        self.turn += 1
        self.won = bool(self.config.one_in) and zlib.crc32(action[:1].encode()) % self.config.one_in == 0
        truncated = not self.won and self.turn >= self.config.max_turns
        text = "You open door ." if self.won else "Nothing happens ." + " wait" * (len(action) % 3)
        return text, float(self.won), self.won, truncated, self._info()

    def _info(self) -> Info:
        return Info(
            admissible_commands=["open door"],
            anchor=str(self.turn),
            won=self.won,
            goal="open the door",
            task=self.task,
            task_type="guess",
        )
