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
    # What lies below is crossed once, the rest in every pass; then gradients of L - k blocks and of the head's input.
    assert count == block * (index + (BLOCKS - index) * (2 + extra)) + head * (2 + extra)


def test_two_epochs_with_a_reference_at_the_middle():
    """About 0.43 of full training for the blocks alone."""
    model = small_model(BLOCKS)
    block = sum(value.numel() for value in model.model.layers[0].parameters())
    head = model.get_output_embeddings().weight.numel()
    middle, everything = (
        update_compute(model, target, extra_forward_passes=1, epochs=2)
        for target in (Target((4,)), Target(tuple(range(BLOCKS)), full=True))
    )
    blocks = (middle - 5 * head) / block, (everything - 7 * head) / block
    assert blocks == (4 + 3 * 4 + 2 * 4, 7 * 8)
    assert blocks[0] / blocks[1] == pytest.approx(0.43, abs=0.002)


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
