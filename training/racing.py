"""Successive halving of blocks: train all for a little, keep the better half, train those on.

After Jamieson and Talwalkar (arXiv 1502.07943). The block nearest the middle stays in every round: it is the yardstick.
Another block is taken only if it is clearly better. All blocks meet the same tasks with the same draws, so tasks are
pairs, and what one block gains over another grows with training: with g_it the gap on task t of iteration i (the
first, i = 0, plays the untrained policy), the lead is the slope b = sum(i g_it) / sum(i^2) over all tasks of all
iterations. It is clear when Student's t of b through the origin is, one-sided at 5 %, shared out over the other blocks
of the race (Bonferroni). The error of b is the larger of the ordinary one and of White's, which allows for gaps that
vary more as policies part. A block's score is the mean success of its training episodes, iteration i weighing i, which
ranks blocks as their slopes do. The test guards against the luck of tasks and episodes; that another run of the same
two blocks may go otherwise it cannot see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from agents.targets import middle
from training.probing import CHANCE
from training.selectors import Probe

FEWEST = 3
"""Iterations of the first round: the first plays the untrained policy, and one more is no comparison."""
LEAST_SPREAD = 0.01
"""Mean gaps of iterations vary by this much at least: few that happen to be alike prove nothing."""

Successes = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Race:
    """How a race went.

    Attributes:
        winner: the block to take.
        why: why.
        successes: by block, the share of each task's episodes that was won, [iterations, tasks].
    """

    winner: int
    why: str
    successes: dict[int, Successes]

    def score(self, block: int) -> float:
        """Mean success of a block's episodes, later iterations weighing more."""
        return _score(self.successes[block])


def race(probe: Probe, candidates: Sequence[int], iterations: int) -> Race | None:
    """Lets blocks race.

    Args:
        probe: what may be looked at; its `race` trains a block.
        candidates: the blocks; if not all can be afforded, those nearest the middle race.
        iterations: how many of them may be spent in all.

    Returns:
        How it went; None if not even two blocks can be afforded.
    """
    yardstick = middle(probe.num_blocks)[0]
    field = sorted({*candidates, yardstick}, key=lambda block: (block != yardstick, abs(block - yardstick), block))
    field = field[: iterations // FEWEST]
    if probe.race is None or len(field) < 2 or probe.iterations < FEWEST:
        return None
    rounds, done, left = math.ceil(math.log2(len(field))), 0, iterations
    successes: dict[int, Successes] = {}
    survivors = field
    for number in range(rounds):
        more = left // (rounds - number) // len(survivors)
        more = min(max(more, FEWEST if number == 0 else 1), left // len(survivors), probe.iterations - done)
        if more < 1:
            break
        done, left = done + more, left - more * len(survivors)
        for block in survivors:
            successes[block] = np.asarray(probe.race(block, done), dtype=np.float64)
        survivors = _better_half(survivors, successes, yardstick)
    winner, why = _verdict(survivors, successes, yardstick, len(field) - 1)
    return Race(winner, why, successes)


def _better_half(survivors: Sequence[int], successes: dict[int, Successes], yardstick: int) -> list[int]:
    count = max(2, math.ceil(len(survivors) / 2))
    ranked = sorted(survivors, key=lambda block: -_score(successes[block]))
    return [yardstick, *[block for block in ranked if block != yardstick][: count - 1]]


def _verdict(
    survivors: Sequence[int], successes: dict[int, Successes], yardstick: int, comparisons: int
) -> tuple[int, str]:
    best = max(survivors, key=lambda block: _score(successes[block]))
    trained = len(successes[yardstick])
    if best == yardstick:
        return yardstick, f"block {yardstick}, the middle one, won the race (trained for {trained} iterations)"
    gaps = successes[best][1:] - successes[yardstick][1:]
    ahead, behind = _score(successes[best]), _score(successes[yardstick])
    lead = f"won {ahead:.1%} against {behind:.1%} in {trained} iterations"
    if gaps.size > 1 and _slope(gaps) > _needed(gaps, comparisons):
        return best, f"block {best} clearly outran the middle block {yardstick}: it {lead}"
    return yardstick, f"block {best} did not clearly outrun the middle block {yardstick} (it {lead}), which is taken"


def _score(successes: Successes) -> float:
    return float(np.average(successes[1:].mean(axis=1), weights=np.arange(1, len(successes))))


def _slope(gaps: Successes) -> float:
    at = np.arange(1, len(gaps) + 1)
    return float((at * gaps.mean(axis=1)).sum() / (at * at).sum())


def _needed(gaps: Successes, comparisons: int) -> float:
    """The slope that chance seldom exceeds, from gaps [iterations, tasks]."""
    at = np.arange(1, len(gaps) + 1)[:, None]
    squares, freedom = gaps.shape[1] * float((at * at).sum()), gaps.size - 1
    residuals = gaps - _slope(gaps) * at
    spread = math.sqrt(float((residuals**2).sum()) / freedom)
    least = LEAST_SPREAD * math.sqrt(gaps.shape[1])
    robust = math.sqrt(float(((at * residuals) ** 2).sum()) * gaps.size / freedom) / squares
    error = max(max(spread, least) / math.sqrt(squares), robust)
    return float(stats.t.ppf(1 - CHANCE / max(comparisons, 1), freedom) * error)


def spread(candidates: Sequence[int], start: int, count: int) -> list[int]:
    """So many of the candidates, each the farthest from `start` and those taken before it; the lower of two."""
    taken, left = [start], sorted(set(candidates) - {start})
    while left and len(taken) <= count:
        taken.append(max(left, key=lambda block: (min(abs(block - other) for other in taken), -block)))
        left.remove(taken[-1])
    return taken[1:]
