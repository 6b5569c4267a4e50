"""One block drawn at random from the run's seed: the free baseline that any selector has to beat."""

from __future__ import annotations

import numpy as np

from training.selectors import BlockScore, Choice, Probe


def select(probe: Probe) -> Choice:
    """Draws a block uniformly, keyed by the run's seed."""
    index = int(np.random.default_rng([probe.seed, 0x1A7E]).integers(probe.num_blocks))
    blocks = tuple(BlockScore(block, None) for block in range(probe.num_blocks))
    return Choice("random", (index,), f"drawn uniformly from {probe.num_blocks} blocks with seed {probe.seed}", blocks)
