"""Frozen-prefix execution against plain passes: same states, nothing below computed twice, never a stale hit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from agents.blocks import find_stack
from agents.prefix import FrozenPrefix
from agents.targets import Target, select
from tests.agents.families import PATHS, build

BLOCKS, TARGET = 5, Target((3,))


def rows_of(lengths: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 50, size=length) for length in lengths]


def padded(rows: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)


def logits(model: PreTrainedModel, rows: Sequence[np.ndarray], prefix: FrozenPrefix | None = None) -> list[Any]:
    """Logits of every row, (T, V) each, without padding."""
    tokens = padded(rows)
    if prefix is None:
        output = model(input_ids=tokens, use_cache=False).logits
    else:
        with prefix.over(rows, tokens):
            output = model(input_ids=tokens, use_cache=False).logits
    return [states[: len(row)] for states, row in zip(output, rows, strict=True)]


def gradients(model: PreTrainedModel, parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    model.zero_grad(set_to_none=True)
    torch.stack([part.square().mean() for part in parts]).sum().backward()
    return [value.grad.clone() for value in model.parameters() if value.grad is not None]


@pytest.mark.parametrize("family", sorted(PATHS))
def test_passes_over_kept_states_are_plain_passes(family: str):
    """Bit for bit at the same shape, states computed and states kept; within rounding in other company."""
    model, rows = build(family, BLOCKS), rows_of((7, 12, 3))
    select(model, TARGET)
    plain = logits(model, rows)
    expected = gradients(model, plain)
    prefix = FrozenPrefix(model, TARGET)
    # Experts see padding too, which is other states when a row's own are put back: other shapes, other rounding.
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if "moe" in family else {"rtol": 0.0, "atol": 0.0}
    for _ in range(2):
        found = logits(model, rows, prefix)
        torch.testing.assert_close(found, plain, **tolerance)
        torch.testing.assert_close(gradients(model, found), expected, **tolerance)
    assert (prefix.counts.hits, prefix.counts.misses) == (3, 3)
    for row, whole in zip(rows, plain, strict=True):
        torch.testing.assert_close(logits(model, [row], prefix)[0], whole, rtol=1e-5, atol=1e-5)
    assert prefix.counts.misses == 3
    again = logits(model, rows)
    assert all(torch.equal(one, other) for one, other in zip(again, plain, strict=True))


def test_what_lies_below_runs_once_and_what_lies_above_not_for_it():
    model, rows = build("qwen3", BLOCKS), rows_of((5, 9))
    ran: list[int] = []
    for index, block in enumerate(find_stack(model).modules):
        block.mlp.register_forward_hook(lambda *_, index=index: ran.append(index))
    prefix = FrozenPrefix(model, TARGET)
    logits(model, rows_of((4,), seed=1), prefix)
    ran.clear()
    logits(model, rows, prefix)
    assert sorted(ran) == [0, 1, 2, 3, 4]
    ran.clear()
    logits(model, rows[::-1], prefix)
    assert sorted(ran) == [3, 4]


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    budget=st.integers(0, 20) | st.just(10**6),
    seed=st.integers(0, 99),
)
def test_any_budget_and_any_order_give_the_same(lengths: list[int], budget: int, seed: int):
    model, rows = build("qwen3", BLOCKS), rows_of(lengths, seed)
    random, size = np.random.default_rng(seed), 8 * 4
    prefix = FrozenPrefix(model, TARGET, budget=budget * size)
    with torch.no_grad():
        for _ in range(3):
            chosen = [rows[place] for place in random.permutation(len(rows))[: random.integers(1, len(rows) + 1)]]
            for one, other in zip(logits(model, chosen, prefix), logits(model, chosen), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
            assert prefix.device_bytes <= budget * size
    assert prefix.host_bytes == 0


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"])
def test_states_are_dropped_when_a_weight_below_has_changed(name: str):
    model, rows = build("qwen3", BLOCKS), rows_of((6, 4))
    prefix = FrozenPrefix(model, TARGET)
    with torch.no_grad():
        before = logits(model, rows, prefix)
        dict(model.named_parameters())[name].mul_(1.5)
        after = logits(model, rows, prefix)
        expected = logits(model, rows)
    assert prefix.counts.dropped == 2
    assert all(torch.equal(one, other) for one, other in zip(after, expected, strict=True))
    assert not torch.equal(before[0], after[0])


def test_weights_of_the_target_may_change():
    model, rows = build("qwen3", BLOCKS), rows_of((6, 4))
    prefix = FrozenPrefix(model, TARGET)
    with torch.no_grad():
        logits(model, rows, prefix)
        for value in select(model, TARGET).values():
            value.mul_(1.5)
        found, expected = logits(model, rows, prefix), logits(model, rows)
    assert prefix.counts.hits == 2
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_lowest_block_has_nothing_below():
    model, rows = build("qwen3", BLOCKS), rows_of((6, 4))
    prefix = FrozenPrefix(model, Target((0,)))
    assert all(
        torch.equal(one, other) for one, other in zip(logits(model, rows, prefix), logits(model, rows), strict=True)
    )
    assert prefix.counts.misses == prefix.device_bytes == 0


def test_rows_that_begin_alike_are_told_apart():
    model, rows = build("qwen3", BLOCKS), rows_of((9,))
    prefix = FrozenPrefix(model, TARGET)
    with torch.no_grad():
        logits(model, rows, prefix)
        other = rows[0].copy()
        other[-1] = (other[-1] + 1) % 50
        for row in (other, rows[0][:5]):
            assert torch.equal(logits(model, [row], prefix)[0], logits(model, [row])[0])
    assert (prefix.counts.hits, prefix.counts.misses) == (0, 3)


def test_equal_rows_are_kept_and_counted_once():
    model, (row, other) = build("qwen3", BLOCKS), rows_of((6, 4))
    prefix = FrozenPrefix(model, TARGET)
    with torch.no_grad():
        for rows in ([row, row], [other, row, other, other], [row, other]):
            for found, expected in zip(logits(model, rows, prefix), logits(model, rows), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert prefix.device_bytes == (len(row) + len(other)) * 8 * 4
    assert (prefix.counts.hits, prefix.counts.misses) == (3, 5)
