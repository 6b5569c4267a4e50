"""The interval of a success rate where tasks were played several times, as with several seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from envs.errors import InputError
from evals.statistics import Interval, quantile, wilson, wilson_ends


def clustered(successes: ArrayLike, plays: ArrayLike, level: float = 0.95) -> Interval:
    """The interval of a success rate where tasks were played several times.

    Plays of one task resemble each other, so they tell less than as many tasks would. With N plays of M tasks, w_i of
    n_i plays of task i won and p the share won of all, the variance of p between tasks, as of any ratio of means, and
    the design effect are

        v = M / (M - 1) * sum_i (w_i - p n_i)^2 / N^2        effect = v / (p (1 - p) / N)

    and Wilson's interval is taken for p, N / effect episodes and Student's quantile with M - 1 degrees of freedom
    (after Korn and Graubard 1998, Survey Methodology 24:193, who put it into Clopper's and Pearson's). The effect is
    held between 1, plays that know nothing of each other, and sum_i n_i^2 / N, plays that all end alike: so the
    interval is never narrower than that of N different tasks. Played once each, tasks have Wilson's interval itself.

    Args:
        successes: plays won of each task, (M,).
        plays: plays of each task, (M,), at least 1 each.
        level: confidence level.

    Returns:
        The interval, within 0 and 1; all of it for a single task played more than once.

    Raises:
        InputError: if there is no task, or the counts are impossible.
    """
    won_M, plays_M = np.asarray(successes), np.asarray(plays)
    if won_M.ndim != 1 or won_M.shape != plays_M.shape or not len(won_M):
        raise InputError("successes and plays must hold one number a task, for at least one task.")
    if (plays_M < 1).any() or (won_M < 0).any() or (won_M > plays_M).any():
        raise InputError("successes must lie between 0 and the plays of each task, which must be at least 1.")
    if plays_M.max() == 1:
        return wilson(int(won_M.sum()), len(won_M), level)
    low, high = clustered_ends(won_M, plays_M, level)
    return Interval(float(low), float(high))


def clustered_ends(
    won: NDArray[Any], plays: NDArray[Any], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of `clustered` for many panels at once, by the same formula where tasks are played once.

    Args:
        won: plays won, (..., M).
        plays: plays, of that shape or one that broadcasts to it.
        level: confidence level.

    Returns:
        Lower and upper ends, (...).
    """
    won_M = np.asarray(won, dtype=np.float64)
    plays_M = np.broadcast_to(np.asarray(plays, dtype=np.float64), won_M.shape)
    tasks, total = won_M.shape[-1], plays_M.sum(-1)
    rate = won_M.sum(-1) / total
    if tasks == 1:
        return np.zeros_like(rate), np.ones_like(rate)
    variance = tasks / (tasks - 1) * np.square(won_M - rate[..., None] * plays_M).sum(-1) / total**2
    binomial = rate * (1 - rate) / total
    most = np.square(plays_M).sum(-1) / total
    # Where all or none were won the plays seem to agree, and nothing is known of their spread.
    effect = np.clip(np.where(binomial > 0, variance / np.where(binomial > 0, binomial, 1), most), 1, most)
    significance = 2 * float(special.ndtr(-quantile(level, tasks - 1)))
    low, high = wilson_ends(rate, total / effect, significance)
    return np.where(rate > 0, low, 0.0), np.where(rate < 1, high, 1.0)
