"""How well a policy predicts what the world says: the signal of selectors that need no reward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from training.batches import MicroBatch, micro_batches
from training.logprobs import head_on
from training.selectors import Groups, Probe, rows_of

MOST_LOGITS = 2**27
"""Logits of a micro-batch, 512 MiB in float32: of a large vocabulary only some of the tokens are predicted."""


def world_loss(probe: Probe, batch: MicroBatch) -> torch.Tensor:
    """Cross-entropy of the tokens that the world said, all or every n-th, in nats, (N,)."""
    tokens = batch.tokens_BT
    lengths = torch.tensor([len(row.row.tokens) for row in batch.rows], device=tokens.device)
    real = torch.arange(1, tokens.shape[1] + 1, device=tokens.device) < lengths[:, None]
    places = (real & ~batch.predicts_BT).nonzero()
    most = max(1, MOST_LOGITS // probe.model.config.get_text_config().vocab_size)
    rows, columns = places[:: max(1, -(-len(places) // most))].unbind(1)
    predicted = torch.zeros_like(real).index_put((rows, columns), torch.ones_like(rows, dtype=torch.bool))
    with head_on(probe.model, predicted):
        logits = probe.model(input_ids=tokens, use_cache=False).logits[0]
    return cross_entropy(logits.float(), tokens[rows, columns + 1], reduction="none")


@torch.no_grad()
def losses(probe: Probe, groups: Groups) -> list[float]:
    """Mean loss of each group in nats a token, (P,)."""
    found = []
    for rows in map(rows_of, groups):
        parts = [world_loss(probe, batch) for batch in micro_batches(rows, probe.micro_batch_tokens, probe.device)]
        found.append(float(torch.cat(parts).mean()))
    return found


@contextmanager
def passed_over(block: nn.Module) -> Iterator[None]:
    """While it lasts, a block hands on what it is given."""

    def hand_on(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:  # noqa: ANN401
        given = inputs[0] if inputs else options["hidden_states"]
        return (given, *output[1:]) if isinstance(output, tuple) else given

    handle = block.register_forward_hook(hand_on, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
