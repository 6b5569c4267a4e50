"""Two policies that played the same tasks: how far apart they are, whether that may be chance, and what would show it.

The difference of their success rates comes with

- an interval made of the two rates' own intervals and the correlation between them (Zou and Donner 2008, Statistics in
  Medicine 27:1693; Newcombe's where each task was played once), which holds at any number of tasks;
- a bootstrap interval, for which tasks are drawn anew with all of their plays (Efron 1979, Annals of Statistics 7:1).
  It is left out where fewer than ten tasks came out otherwise than most, as it would then be too narrow, or have no
  width at all;
- the p of the exact McNemar test; where tasks were played several times that of the exact sign-flip test, which asks
  how often differences as large come about if in each task either policy were as likely the better one.

On the mean over success rates from 0.2 to 0.8, differences up to 15 points and policies that find the same tasks hard,
the first interval, Newcombe's among them, held the truth within one point of 95 % of 10,000 simulated panels of 140 and
of 300 tasks; and so did the bootstrap's at a difference of 5 points (`tests/evals/test_coverage.py`).

Several such p of one question are corrected by Holm's method (Holm 1979, Scandinavian Journal of Statistics 6:65). All
but the sign-flip test is scipy's and statsmodels', imported when needed; what is drawn is drawn from a fixed seed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from envs.errors import InputError
from evals.clusters import clustered_ends
from evals.figures import p_value
from evals.findings import in_points, is_resolved, range_of_points
from evals.statistics import Interval, paired

LEAST_EXCEPTIONS = 10
"""Tasks whose difference must be another than the commonest one for a bootstrap of the mean difference."""
"""How often a difference is to be seen, if it is there."""
_RESAMPLES = 9999


class Comparison(NamedTuple):
    """Policy a against policy b.

    Attributes:
        difference: success of a minus success of b.
        interval: its 95 % interval.
        p: of the hypothesis that there is none.
        bootstrap: its bootstrap interval, or None where too few tasks came out otherwise than most.
        better: number of tasks that a won more often.
        worse: number of tasks that b won more often.
        tasks: number of tasks.
        plays: plays of each task by each policy.
        deviation: standard deviation of the tasks' differences, with half a task added to each of the four outcomes
            (Agresti and Min 2005, Statistics in Medicine 24:729), so that it is never zero.
    """

    difference: float
    interval: Interval
    p: float
    bootstrap: Interval | None
    better: int
    worse: int
    tasks: int
    plays: int
    deviation: float

    def as_json(self) -> dict[str, Any]:
        """How it is recorded."""
        bootstrap = None if self.bootstrap is None else self.bootstrap.to_json()
        return self._asdict() | {"interval": self.interval.to_json(), "bootstrap": bootstrap}


class Difference(NamedTuple):
    """What a comparison says first.

    Attributes:
        value: success of a minus success of b.
        interval: its 95 % interval.
        p: of the hypothesis that there is none.
    """

    value: float
    interval: Interval
    p: float


def compare(won_a: ArrayLike, won_b: ArrayLike, plays: int = 1, level: float = 0.95) -> Comparison:
    """Compares two policies on the same tasks.

    Args:
        won_a: plays of each task that a won, (M,).
        won_b: the same tasks in the same order, (M,).
        plays: plays of each task by each policy.
        level: confidence level.

    Returns:
        The comparison.

    Raises:
        InputError: if the policies played other numbers of tasks, there is none, or a count is impossible.
    """
    found = difference(won_a, won_b, plays, level)
    differences_M = (np.asarray(won_a, dtype=np.int64) - np.asarray(won_b, dtype=np.int64)) / plays
    tasks = len(differences_M)
    return Comparison(
        difference=found.value,
        interval=found.interval,
        p=found.p,
        bootstrap=_bootstrap(differences_M, level),
        better=int((differences_M > 0).sum()),
        worse=int((differences_M < 0).sum()),
        tasks=tasks,
        plays=plays,
        deviation=math.sqrt(
            (np.square(differences_M).sum() + 1) / (tasks + 2) - (differences_M.sum() / (tasks + 2)) ** 2
        ),
    )


def difference(won_a: ArrayLike, won_b: ArrayLike, plays: int = 1, level: float = 0.95) -> Difference:
    """The part of `compare` that takes no time, with its arguments and errors."""
    a_M, b_M = np.asarray(won_a, dtype=np.int64), np.asarray(won_b, dtype=np.int64)
    if a_M.ndim != 1 or a_M.shape != b_M.shape or not len(a_M):
        raise InputError(f"two policies must have played the same tasks, but one has {a_M.size} and one {b_M.size}.")
    if plays < 1 or min(a_M.min(), b_M.min()) < 0 or max(a_M.max(), b_M.max()) > plays:
        raise InputError(f"wins of a task must lie between 0 and its {plays} plays.")
    if plays == 1:
        once = paired(a_M, b_M, level)
        return Difference(once.difference, once.interval, once.p)
    low, high = difference_ends(a_M, b_M, plays, level)
    gaps_M = a_M - b_M
    return Difference(float(gaps_M.mean()) / plays, Interval(float(low), float(high)), sign_flip(gaps_M))


def difference_ends(
    won_a: NDArray[Any], won_b: NDArray[Any], plays: int, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the interval of a difference for many panels at once.

    With the clustered intervals (l_a, u_a), (l_b, u_b) of the two rates and the correlation r of the tasks' wins,

        low  = d - sqrt((p_a - l_a)^2 - 2 r (p_a - l_a)(u_b - p_b) + (u_b - p_b)^2)
        high = d + sqrt((u_a - p_a)^2 - 2 r (u_a - p_a)(p_b - l_b) + (p_b - l_b)^2)

    Args:
        won_a: plays of each task that a won, (..., M).
        won_b: the same tasks in the same order, (..., M).
        plays: plays of each task by each policy.
        level: confidence level.

    Returns:
        Lower and upper ends, (...).
    """
    rate_a, rate_b = won_a.mean(-1) / plays, won_b.mean(-1) / plays
    (low_a, high_a), (low_b, high_b) = (clustered_ends(won, np.array(plays), level) for won in (won_a, won_b))
    centred_a, centred_b = (won - won.mean(-1, keepdims=True) for won in (won_a, won_b))
    spread = np.sqrt(np.square(centred_a).sum(-1) * np.square(centred_b).sum(-1))
    together = (centred_a * centred_b).sum(-1)
    r = np.where(spread > 0, together / np.where(spread > 0, spread, 1), 0.0)

    def reach(own: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.sqrt(np.maximum(own**2 - 2 * r * own * other + other**2, 0))
        return found

    difference = rate_a - rate_b
    return difference - reach(rate_a - low_a, high_b - rate_b), difference + reach(high_a - rate_a, rate_b - low_b)


def holm(p: Sequence[float]) -> list[float]:
    """Corrects the p of several questions asked at once by Holm's method, in the given order.

    The i-th smallest of n, from 0, becomes the largest of (n - i) p so far, at most 1 (Holm 1979, Scandinavian Journal
    of Statistics 6:65).
    """
    # statsmodels' own collects the garbage of the whole process at each call: a third of a second beside PyTorch.
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(raised, 1.0)
    return [float(value) for value in corrected]


def verdict(a: str, b: str, found: Comparison) -> str:
    """Says in one sentence which policy is better, if interval and test agree that one is.

    Args:
        a: name of the one.
        b: name of the other.
        found: their comparison.

    Returns:
        The sentence; it never calls two policies equal.
    """
    size = f"95 % interval {range_of_points(found.interval)}, p {p_value(found.p)}"
    if not is_resolved({"interval": found.interval, "p": found.p}):
        return (
            f"Which is better was not resolved: the success of {a} minus that of {b} is "
            f"{in_points(found.difference)} points ({size})."
        )
    better, worse = (a, b) if found.difference > 0 else (b, a)
    return f"{better} did better than {worse}: {a} minus {b} is {in_points(found.difference)} points ({size})."


def sign_flip(gaps_N: NDArray[np.int64]) -> float:
    """The two-sided p of the exact sign-flip test.

    Args:
        gaps_N: whole-number differences, one a task, (N,).

    Returns:
        The share of all 2^N sign patterns whose sum is at least as far from zero as that of the differences.
    """
    sums = np.ones(1)  # probabilities of the sums -total to total
    for size, count in sorted(Counter(np.abs(gaps_N[gaps_N != 0]).tolist()).items()):
        flips = np.arange(count + 1)
        weights = np.exp(
            special.gammaln(count + 1)
            - special.gammaln(flips + 1)
            - special.gammaln(count - flips + 1)
            - count * math.log(2)
        )
        spread = np.zeros(2 * count * size + 1)
        spread[:: 2 * size] = weights
        sums = np.convolve(sums, spread)
    total = len(sums) // 2
    far = np.abs(np.arange(-total, total + 1)) >= abs(int(gaps_N.sum()))
    return min(1.0, float(sums[far].sum()))


def _bootstrap(differences_M: NDArray[np.float64], level: float) -> Interval | None:
    from scipy.stats import bootstrap

    if len(differences_M) - np.unique(differences_M, return_counts=True)[1].max() < LEAST_EXCEPTIONS:
        return None
    found = bootstrap(
        (differences_M,),
        _mean,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=level,
        method="percentile",
        rng=0,
        batch=1000,
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def _mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = values.mean(axis=axis)
    return mean
