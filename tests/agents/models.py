"""Small random models and tokenizers, and a small world, for the tests of `agents`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from envs.types import Info, TextEnv

WORDS = [
    *(
        "You",
        "are",
        "in",
        "a",
        "room",
        ".",
        "door",
        "north",
        "south",
        "east",
        "west",
        "go",
        "to",
        "take",
        "key",
        "lamp",
    ),
    *("box", "open", "close", "wait", "Nothing", "happens", "see"),
]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(chat: bool = False) -> PreTrainedTokenizerFast:
    """Words with a space in front, bytes for all else; its end of sequence is a line break, in chat `<|im_end|>`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        piece = "Ġ"
        for letter in word:
            if piece + letter not in vocabulary:
                merges.append((piece, letter))
                vocabulary[piece + letter] = len(vocabulary)
            piece += letter
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\n| ?[^\s]+| +"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>" if chat else "Ċ")
    if chat:
        fast.chat_template = CHATML
    return fast


def model(kind: str = "qwen3", vocabulary: int = 420, seed: int = 0, context: int = 2048) -> PreTrainedModel:
    """A random model: "qwen3" (grouped queries), "qwen2" (biases, two key heads) or "llama" (no grouping)."""
    torch.manual_seed(seed)
    shared: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": context,
        "initializer_range": 0.2,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    if kind == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shared, num_key_value_heads=1, head_dim=16)).eval()
    if kind == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**shared, num_key_value_heads=2)).eval()
    return LlamaForCausalLM(LlamaConfig(**shared, num_key_value_heads=4)).eval()


class Corridor(TextEnv):
    """A world whose answers have many lengths. `steps` turns at most; task "broken:N" fails at turn N (0: at reset)."""

    players: ClassVar = {}

    def __init__(self, steps: int = 6) -> None:
        self.steps = steps

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        return [f"walk:{seed + index}" for index in range(count)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:
        self.task = (options or {})["task"]
        self.kind, number = self.task.split(":")
        self.number, self.turn, self.won = int(number), 0, False
        self._break(0)
        return "You are in a room .\n\nYou see" + " a door" * (self.number % 5 + 1) + " .", self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        self.turn += 1
        self._break(self.turn)
        self.won = action == "open door"
        length = np.random.default_rng([self.number, self.turn, *action.encode()]).integers(0, 14)
        text = "Nothing happens ." if length < 6 else "You see" + " a key" * int(length)
        truncated = self.turn >= self.steps
        return text, float(self.won), self.won or action == "wait", truncated, self._info()

    def _break(self, turn: int) -> None:
        if self.kind == "broken" and self.number == turn:
            raise RuntimeError(f"broke at turn {turn}")

    def _info(self) -> Info:
        return Info(
            admissible_commands=["go to door", "open door", "wait"],
            anchor=f"{self.task}/{self.turn}",
            won=self.won,
            goal="leave",
            task=self.task,
            task_type=self.kind,
        )
