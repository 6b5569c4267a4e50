"""A world that even a random model wins now and then, and such a model: what the trainer's tests learn on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from envs.config_schema import key
from envs.errors import InputError
from envs.types import Info, Player, TextEnv
from tests.agents.models import byte_tokenizer


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


def small_model(blocks: int = 8) -> PreTrainedModel:
    """A random Qwen3."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=420,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=blocks,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=512,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


def write_model(folder: Path, blocks: int = 8) -> Path:
    """Saves the random model with a tokenizer as an ordinary model folder."""
    small_model(blocks).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
