"""Activation checkpointing of the blocks that a backward pass crosses, and of no others.

Blocks below the target keep no activations anyway, so only the blocks at and above it are wrapped. Transformers'
`gradient_checkpointing_enable` is not used: it makes the embedding's output require gradients, and then every backward
pass runs to the bottom of the model and the saving of a frozen prefix is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from agents.blocks import find_stack
from agents.targets import Target


@contextmanager
def checkpointed(model: nn.Module, target: Target) -> Iterator[None]:
    """While it lasts, the backward pass recomputes the activations of the blocks at and above the target."""
    blocks = find_stack(model).modules[target.lowest :]
    originals = [block.forward for block in blocks]

    def wrapped(original: Any) -> Any:  # noqa: ANN401
        def forward(*inputs: Any, **options: Any) -> Any:  # noqa: ANN401
            return checkpoint(original, *inputs, use_reentrant=False, **options)

        return forward

    for block, original in zip(blocks, originals, strict=True):
        block.forward = wrapped(original)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
