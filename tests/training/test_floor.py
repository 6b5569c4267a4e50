"""The compute floor of an update, against the formula for a stack of equal blocks with a free head."""

from __future__ import annotations

import pytest
import torch

from agents.targets import Target
from tests.training.guessing import small_model
from training.floor import update_compute, update_floor

BLOCKS = 8


@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("index", range(BLOCKS))
def test_one_block(index: int, extra: int):
    model = small_model(BLOCKS)
    block = sum(value.numel() for value in model.model.layers[0].parameters())
    head = model.get_output_embeddings().weight.numel()
    count = update_compute(model, Target((index,)), extra)
    # L + (L - k) forward passes of a block, and the head forward and its input's gradient.
    assert count == block * (BLOCKS * (1 + extra) + BLOCKS - index) + head * (2 + extra)


def test_everything_and_lists():
    model = small_model(BLOCKS)
    block = sum(value.numel() for value in model.model.layers[0].parameters())
    head = model.get_output_embeddings().weight.numel()
    everything = update_compute(model, Target(tuple(range(BLOCKS)), full=True))
    assert everything == 3 * (BLOCKS * block + head)
    # From block 2 up the gradient flows through 5 blocks above it; two of all are trained.
    assert update_compute(model, Target((2, 5))) == block * (BLOCKS + 5 + 2) + 2 * head
    assert update_floor(model, Target((4,))) == pytest.approx((block * 12 + 2 * head) / everything)
    assert update_floor(model, Target(tuple(range(BLOCKS)), full=True)) == 1.0


def test_the_floor_falls_with_height():
    model = small_model(BLOCKS)
    with torch.no_grad():
        ratios = [update_floor(model, Target((index,))) for index in range(BLOCKS)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] > 1 / 3
