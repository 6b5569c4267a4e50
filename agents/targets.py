"""Targets: which part of a model is trained.

A target is a set of blocks, or everything. `parse` reads the `layer=` notation without looking at a model (it needs
only the number of blocks), so that a wrong layer is refused before any weights are loaded. Automatic choices
are selectors and belong to `training.selectors`; they end in a target too.

"Middle k" of L blocks is floor(L/2 - k/2) to floor(L/2 + k/2) - 1 (arXiv 2607.01232).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envs.errors import InputError

if TYPE_CHECKING:
    from torch import nn

NAMES = ("middle", "last", "full")


@dataclass(frozen=True)
class Target:
    """The trained part of a model.

    Attributes:
        indices: the trained blocks in ascending order; all blocks if `full`.
        full: True if every parameter is trained, embedding and head included.
    """

    indices: tuple[int, ...]
    full: bool = False

    @property
    def name(self) -> str:
        """How the target is written in files and tables."""
        return "full" if self.full else ",".join(str(index) for index in self.indices)

    @property
    def lowest(self) -> int:
        """Index of the lowest trained block: backward passes stop there."""
        return 0 if self.full else self.indices[0]


def middle(num_blocks: int, count: int = 1) -> tuple[int, ...]:
    """The `count` middle blocks of `num_blocks`."""
    start = math.floor(num_blocks / 2 - count / 2)
    return tuple(range(start, start + count))


def parse(layer: str, num_blocks: int, selectors: Sequence[str] = ()) -> Target | None:
    """Reads `layer=`.

    Args:
        layer: "14", "10,14", "10-14", "middle", "middle:5", "last", "full"; or a selector's name.
        num_blocks: number of blocks L of the model.
        selectors: the names of the selectors that may be asked to choose.

    Returns:
        The target, or None if a selector has to choose it.

    Raises:
        InputError: not a layer, or a block the model does not have.
    """
    text = layer.strip().lower()
    if text in selectors:
        return None
    if text == "full":
        return Target(tuple(range(num_blocks)), full=True)
    if text == "last":
        return Target((num_blocks - 1,))
    if match := re.fullmatch(r"middle(?::(\d+))?", text):
        count = int(match[1] or 1)
        if not 1 <= count <= num_blocks:
            raise InputError(
                f"layer={layer}: the model has {num_blocks} blocks; middle:1 to middle:{num_blocks} exist."
            )
        return Target(middle(num_blocks, count))
    indices = sorted(set(_indices(layer, num_blocks, selectors)))
    outside = [index for index in indices if index >= num_blocks]
    if outside:
        nearest = num_blocks - 1
        raise InputError(
            f"layer={layer}: the model has {num_blocks} blocks, numbered 0 to {nearest}. Nearest: layer={nearest}."
        )
    return Target(tuple(indices))


def _indices(layer: str, num_blocks: int, selectors: Sequence[str]) -> Iterator[int]:
    for part in layer.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            words = ", ".join((*selectors, *NAMES))
            raise InputError(
                f"layer={layer} names no layer. Allowed: {words}, middle:K, a number 0 to {num_blocks - 1}, "
                "a list 1,3 or a range 2-4."
            )
        yield from range(int(match[1]), int(match[2] or match[1]) + 1)


def parameters(model: nn.Module, target: Target) -> dict[str, nn.Parameter]:
    """The target's parameters by name, in the model's order."""
    if target.full:
        return dict(model.named_parameters())
    from agents.blocks import find_stack

    stack = find_stack(model)
    prefixes = tuple(stack.prefix(index) for index in target.indices)
    return {name: parameter for name, parameter in model.named_parameters() if name.startswith(prefixes)}


def select(model: nn.Module, target: Target) -> dict[str, nn.Parameter]:
    """Makes the target's parameters, and no others, require gradients; returns them by name."""
    model.requires_grad_(False)
    chosen = parameters(model, target)
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen
