"""Frozen-prefix execution: what lies below the lowest trained block is computed once for each row.

The blocks below a target never change while it is trained. So the hidden states that enter the target are computed
once, without autograd, kept for each row without padding, and used again by every pass over that row: old and reference
log-probabilities and each epoch. A pass over kept rows runs the model's own forward: the blocks below hand on what they
are given, and a hook gives the target's block the kept states.

States are kept under a hash of the row's token ids, and all are dropped when any weight outside the blocks at and above
the target has been written to since (by its tensor's address and version). So a hit is never stale, unless weights are
changed behind autograd's back (`.data`). The device holds states up to a budget, the host further ones up to another;
rows past both are computed again at each pass.

Exact: states of a micro-batch computed at its own shape are those of a plain pass, bit for bit. Kept states that meet
another shape later (rows in other company) may differ from a plain pass's in the last bits, as any two shapes do; with
experts, to which padding counts as tokens, this also holds at the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from agents.blocks import find_stack
from agents.targets import Target

Tokens = NDArray[np.int64]


@dataclass
class Counts:
    """What became of rows.

    Attributes:
        hits: rows whose states were there.
        misses: rows whose states were computed.
        dropped: rows forgotten because weights below the target had changed.
    """

    hits: int = 0
    misses: int = 0
    dropped: int = 0


class FrozenPrefix:
    """The blocks below a target, and what they made of each row.

    Attributes:
        counts: hits and misses so far.
        device_bytes: states held on the model's device.
        host_bytes: states held in host memory.
    """

    def __init__(
        self, model: PreTrainedModel, target: Target, *, budget: int = 2**31, host_budget: int = 2**33
    ) -> None:
        """Keeps nothing yet.

        Args:
            model: a causal language model.
            target: what is trained; its lowest block must be above block 0 for anything to be saved.
            budget: bytes of states on the model's device.
            host_budget: bytes of states in host memory, beside those, where the device is not the host.
        """
        stack = find_stack(model)
        self._model = model
        self._below, self._above = stack.modules[: target.lowest], stack.modules[target.lowest :]
        trained = {id(parameter) for block in self._above for parameter in block.parameters()}
        self._frozen = [value for value in model.parameters() if id(value) not in trained]
        self._budget, self._host_budget = budget, host_budget
        self._states: dict[bytes, torch.Tensor] = {}
        self._mark = self._present()
        self._shapes: dict[int, int] = {}
        self.counts = Counts()
        self.device_bytes = self.host_bytes = 0

    def clear(self) -> None:
        """Forgets all states."""
        self._states.clear()
        self.device_bytes = self.host_bytes = 0

    @contextmanager
    def over(self, rows: Sequence[Tokens], tokens_BT: torch.Tensor) -> Iterator[None]:
        """While it lasts, a forward pass of the model on these rows starts at the target's lowest block.

        Args:
            rows: ids of each row, without padding.
            tokens_BT: the same, padded on the right, as the model will be given them.
        """
        if not self._below:
            yield
            return
        if not self._shapes:
            self._shapes = _outputs(self._model, (*self._below, *self._above))
        states_BTD = self._states_of(rows, tokens_BT)

        def inject(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if inputs:
                return (states_BTD, *inputs[1:]), options
            return inputs, options | {"hidden_states": states_BTD}

        handle = self._above[0].register_forward_pre_hook(inject, with_kwargs=True)
        try:
            with self._handing_on(self._below):
                yield
        finally:
            handle.remove()

    def _states_of(self, rows: Sequence[Tokens], tokens_BT: torch.Tensor) -> torch.Tensor:
        """The states (B, T, D) that enter the target; those that are not kept are computed, and kept if they fit."""
        if (mark := self._present()) != self._mark:
            self.counts.dropped += len(self._states)
            self.clear()
            self._mark = mark
        names = [blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
        missing = [place for place, name in enumerate(names) if name not in self._states]
        self.counts.hits += len(rows) - len(missing)
        self.counts.misses += len(missing)
        if len(missing) == len(rows):
            computed = self._compute(tokens_BT)
            for name, row, states in zip(names, rows, computed, strict=True):
                self._keep(name, states[: len(row)])
            return computed
        fresh = dict[int, torch.Tensor]()
        if missing:
            longest = max(len(rows[place]) for place in missing)
            computed = self._compute(tokens_BT[missing, :longest])
            for place, states in zip(missing, computed, strict=True):
                fresh[place] = states[: len(rows[place])]
                self._keep(names[place], fresh[place])
        parts = [fresh[place] if place in fresh else self._states[name] for place, name in enumerate(names)]
        together = parts[0].new_zeros((*tokens_BT.shape, parts[0].shape[-1]), device=tokens_BT.device)
        for states, part in zip(together, parts, strict=True):
            states[: len(part)] = part.to(states.device, non_blocking=True)
        return together

    def _keep(self, name: bytes, states: torch.Tensor) -> None:
        if name in self._states:
            # An equal row of the same batch.
            return
        size = states.numel() * states.element_size()
        if self.device_bytes + size <= self._budget:
            # A copy: a view would hold the whole padded batch.
            self._states[name] = states.clone()
            self.device_bytes += size
        elif states.device.type != "cpu" and self.host_bytes + size <= self._host_budget:
            self._states[name] = states.to("cpu")
            self.host_bytes += size

    @torch.no_grad()
    def _compute(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        """What the frozen blocks make of padded rows, (B, T, D), in the model's own forward."""
        found: list[torch.Tensor] = []

        def note(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
            found.append(inputs[0] if inputs else options["hidden_states"])

        handle = self._above[0].register_forward_pre_hook(note, with_kwargs=True)
        try:
            with self._handing_on(self._above), without_head(self._model):
                self._model(input_ids=tokens_BT, use_cache=False)
        finally:
            handle.remove()
        return found[0]

    @contextmanager
    def _handing_on(self, blocks: Sequence[nn.Module]) -> Iterator[None]:
        """While it lasts, blocks return what they are given."""
        with ExitStack() as stack:
            for block in blocks:
                stack.enter_context(replaced(block, _identity(self._shapes[id(block)])))
            yield

    def _present(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever a frozen weight is written to."""
        return tuple((value.data_ptr(), value._version) for value in self._frozen)


@contextmanager
def replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """While it lasts, a module computes something else. Nests with others of its kind."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before


@contextmanager
def without_head(model: PreTrainedModel) -> Iterator[None]:
    """While it lasts, the output head computes nothing."""
    head = model.get_output_embeddings()
    with replaced(head, lambda hidden_BTD: hidden_BTD[..., :1]):
        yield


def _identity(others: int) -> Callable[..., Any]:
    """A block's forward that hands on what it is given; `others` entries of its tuple stay empty, -1 for no tuple."""

    def forward(hidden_states: torch.Tensor, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        return hidden_states if others < 0 else (hidden_states, *[None] * others)

    return forward


@torch.no_grad()
def _outputs(model: PreTrainedModel, blocks: Sequence[nn.Module]) -> dict[int, int]:
    """How many entries beside the states each block returns, by its identity; -1 where it returns the states alone."""
    found: dict[int, int] = {}

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:  # noqa: ANN401
        found[id(module)] = len(output) - 1 if isinstance(output, tuple) else -1

    handles = [block.register_forward_hook(note) for block in blocks]
    try:
        with without_head(model):
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return found
