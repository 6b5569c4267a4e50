"""`layer=halving`: successive halving, by real training, of all blocks within `budget=` (see `training.racing`)."""

from __future__ import annotations

from agents.targets import middle
from training.racing import race
from training.selectors import BlockScore, Choice, Probe

RACES = True


def select(probe: Probe) -> Choice:
    """Trains blocks for a while and takes the one that clearly wins, else the middle one."""
    iterations = int(probe.budget * probe.num_blocks * probe.iterations)
    result = race(probe, range(probe.num_blocks), iterations)
    if result is None:
        center = middle(probe.num_blocks)[0]
        why = (
            f"a budget of {probe.budget:.0%} of {probe.num_blocks} blocks' {probe.iterations} iterations is too small"
            f" to train two of them for a while: the middle block {center}"
        )
        return Choice("halving", (center,), why, tuple(BlockScore(block, None) for block in range(probe.num_blocks)))
    # A block that was not trained has no score of its own; it stands with the worst that was.
    lowest = min(result.score(block) for block in result.successes)
    blocks = tuple(
        BlockScore(block, result.score(block), {"iterations": len(result.successes[block])})
        if block in result.successes
        else BlockScore(block, lowest, {"iterations": 0})
        for block in range(probe.num_blocks)
    )
    return Choice("halving", (result.winner,), result.why, blocks)
