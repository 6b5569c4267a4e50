"""`layer=prior`: the position alone, without looking at the model.

In "Is One Layer Enough?" (arXiv 2607.01232) the best blocks lie at 40 to 60 % of the depth in all seven models, and the
middle k without profiling are a strong baseline. The score is minus the distance from the middle, in depths.
"""

from __future__ import annotations

from agents.targets import middle
from training.selectors import BlockScore, Choice, Probe


def select(probe: Probe) -> Choice:
    """Chooses the middle block."""
    center = (probe.num_blocks - 1) / 2
    scores = (-abs(block - center) / max(probe.num_blocks, 1) for block in range(probe.num_blocks))
    blocks = tuple(BlockScore(block, score) for block, score in enumerate(scores))
    return Choice("prior", middle(probe.num_blocks), "the middle block, by position alone", blocks)
