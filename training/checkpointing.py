"""Activation checkpointing of the blocks that a backward pass crosses, and of no others.

Blocks below the target keep no activations anyway, so only the blocks at and above it are wrapped. Transformers'
`gradient_checkpointing_enable` is not used: it makes the embedding's output require gradients, and then every backward
pass runs to the bottom of the model and the saving of a frozen prefix is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from agents.blocks import find_stack
from agents.prefix import replaced
from agents.targets import Target


@contextmanager
def checkpointed(model: nn.Module, target: Target) -> Iterator[None]:
    """While it lasts, the backward pass recomputes the activations of the blocks at and above the target."""

    def wrapped(original: Any) -> Any:  # noqa: ANN401
        def forward(*inputs: Any, **options: Any) -> Any:  # noqa: ANN401
            return checkpoint(original, *inputs, use_reentrant=False, **options)

        return forward

    with ExitStack() as stack:
        for block in find_stack(model).modules[target.lowest :]:
            stack.enter_context(replaced(block, wrapped(block.forward)))
        yield
