"""What a vLLM engine is asked for, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Request:
    """One reply to sample.

    Attributes:
        tokens: ids of everything read and said so far.
        seed: keys its draws.
        temperature: divides the logits; 0 takes the most likely token.
        max_tokens: longest reply.
        stops: ids that end it; the one that did is its last id.
    """

    tokens: Sequence[int]
    seed: int
    temperature: float
    max_tokens: int
    stops: Sequence[int]


class Sampled(NamedTuple):
    """A sampled reply.

    Attributes:
        tokens: its ids.
        logprobs: the log-probability of each at the sampling temperature (at temperature 0, at temperature 1).
        cached: prompt ids that were not computed again.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    cached: int


class Receipt(NamedTuple):
    """What arrived in the engine.

    Attributes:
        bytes: of tensors received.
        digests: SHA-256 of each tensor as it was received, by name.
    """

    bytes: int
    digests: dict[str, str]


class Engine(Protocol):
    """A running engine with weights of its own.

    Attributes:
        max_context: tokens a prompt and its reply may have together.
    """

    max_context: int

    def sample(self, requests: Sequence[Request]) -> list[Sampled]:
        """Samples a reply for each request, all together."""
        ...

    def score(self, tokens: Sequence[int]) -> list[float]:
        """Log-probability of every id but the first, given those before it, at temperature 1."""
        ...

    def send(self, tensors: Mapping[str, torch.Tensor], version: str) -> Receipt:
        """Loads tensors by the plain model's parameter names into the running engine, which then is at `version`."""
        ...

    def digests(self, names: Sequence[str]) -> dict[str, str]:
        """SHA-256 of parameters as the engine has loaded them; "" for one that cannot be read back."""
        ...

    def version(self) -> str:
        """The version of its weights."""
        ...

    def reset_cache(self) -> bool:
        """Forgets the keys and values of earlier prompts; True if it did."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...
