"""Intervals and tests for success on a panel of tasks.

A panel gives one success or failure a task and arm, or several where a task is played more than once. Arms play the
same tasks, so they are compared task by task:

- one arm: Wilson's score interval (Wilson 1927, JASA 22:209), by statsmodels; where tasks repeat, that of
  `evals.clusters`;
- two arms: exact McNemar test on the tasks where they disagree (McNemar 1947, Psychometrika 12:153), by statsmodels,
  and Newcombe's hybrid score interval of the difference (Newcombe 1998, Statistics in Medicine 17:2635, method 10);
  more on two arms is in `evals.comparison`;
- contribution of a layer, a ratio of two differences: Fieller's interval (Fieller 1954, JRSS B 16:175).

All are closed forms: nothing is resampled, nothing is random. An interval covers the choice of tasks; the spread
between training seeds is not in it.

Counts are whole numbers, so the share of panels whose interval holds the truth swings around 95 % with n and p
(`tests/evals/test_coverage.py`). Reckoned exactly, Wilson's of tasks played once is, at every p from 0.1 to 0.9, within
one point of 95 % from 364 tasks on (to 1,319, the largest panel), and from 300 on between 93.95 and 96.02 %: of 350
tasks at p = 0.1 it is 96.02 %. Simulated (10,000 panels each), coverage is within one point of 95 %

- for 300 tasks played twice or five times, at p of 0.1, 0.2, 0.35 and 0.5 (with a correlation of the plays of a task
  up to 0.6; tasks all of whose plays end alike count as played once);
- as a mean over the p from 0.05 to 0.95 from 140 tasks on, whatever the correlation;
- of a contribution from 0 to 1, where training everything gains 20 points or more, from 300 tasks on;
- of Student's interval of a mean of 2 to 10 values that are normally distributed.

Smaller panels and rarer successes are covered less evenly: of 20 tasks, between 92 and 98 % at a single p.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from envs.errors import InputError

MINIMUM_GAIN = 0.05
"""A contribution is stated only if the full arm gains more than this, at the lower end of its interval."""


class Interval(NamedTuple):
    """A confidence interval. An end that has no bound is infinite.

    Attributes:
        low: lower end.
        high: upper end.
    """

    low: float
    high: float

    def to_json(self) -> list[float | None]:
        """Returns [low, high] with None for an end that has no bound, since JSON has no infinity."""
        return [end if math.isfinite(end) else None for end in self]


UNBOUNDED = Interval(-math.inf, math.inf)


class Paired(NamedTuple):
    """Two arms on the same tasks.

    Attributes:
        difference: mean of a minus mean of b.
        interval: Newcombe's interval of the difference.
        p: exact two-sided McNemar p.
        only_a: number of tasks that only a solved.
        only_b: number of tasks that only b solved.
        n: number of tasks.
    """

    difference: float
    interval: Interval
    p: float
    only_a: int
    only_b: int
    n: int


class Contribution(NamedTuple):
    """What share of the full arm's gain one layer reaches.

    Attributes:
        value: C, or None where it is undefined.
        interval: Fieller's interval of C, or None where C is undefined.
        why_null: why C is undefined, else None.
    """

    value: float | None
    interval: Interval | None
    why_null: str | None


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a success rate, of episodes of different tasks.

    Args:
        successes: number of successes, 0 to n.
        n: number of episodes, at least 1.
        level: confidence level.

    Returns:
        The interval, within 0 and 1.

    Raises:
        InputError: if the counts or the level are impossible.
    """
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"{successes} successes of {n} episodes is impossible; need 0 <= successes <= n and n >= 1.")
    low, high = wilson_ends(successes / n, n, _significance(level))
    return Interval(float(low) if successes else 0.0, float(high) if successes < n else 1.0)


def paired(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Paired:
    """Compares two arms that played the same tasks.

    p is that of the exact two-sided McNemar test; without disagreements it is 1. The interval is Newcombe's: with
    Wilson intervals (l_a, u_a), (l_b, u_b) of the two success rates and the correlation phi of the pairs (continuity
    corrected where positive),

        low  = d - sqrt((p_a - l_a)^2 - 2 phi (p_a - l_a)(u_b - p_b) + (u_b - p_b)^2)
        high = d + sqrt((u_a - p_a)^2 - 2 phi (u_a - p_a)(p_b - l_b) + (p_b - l_b)^2)

    Args:
        a: success of each task, (N,), booleans or 0 and 1.
        b: the same tasks in the same order, (N,).
        level: confidence level of the interval.

    Returns:
        The comparison.

    Raises:
        InputError: if lengths differ, there is no task, or a value is neither success nor failure.
    """
    a_N, b_N = _successes("a", a), _successes("b", b)
    _require_same_length(a_N, b_N)
    n = len(a_N)
    both, only_a = int((a_N & b_N).sum()), int((a_N & ~b_N).sum())
    only_b, neither = int((~a_N & b_N).sum()), int((~a_N & ~b_N).sum())
    p = _mcnemar(both, only_a, only_b, neither)
    interval = _newcombe(both, only_a, only_b, neither, level)
    return Paired((only_a - only_b) / n, interval, p, only_a, only_b, n)


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's interval of a mean: mean -+ t * s / sqrt(N), with N - 1 degrees of freedom.

    Args:
        values: (N,), at least one.
        level: confidence level.

    Returns:
        The interval; unbounded for a single value, whose spread is unknown.

    Raises:
        InputError: if there is no value or one is not finite.
    """
    values_N = np.asarray(values, dtype=np.float64)
    if values_N.ndim != 1 or not len(values_N) or not np.isfinite(values_N).all():
        raise InputError("a mean needs at least one value, all of them finite, in one dimension.")
    if len(values_N) == 1:
        return UNBOUNDED
    half = quantile(level, len(values_N) - 1) * float(values_N.std(ddof=1)) / math.sqrt(len(values_N))
    mean = float(values_N.mean())
    return Interval(mean - half, mean + half)


def fieller(
    numerator: float,
    denominator: float,
    covariance: ArrayLike,
    level: float = 0.95,
    degrees_of_freedom: float = math.inf,
) -> Interval:
    """Fieller's interval of a ratio of two means: every r for which numerator - r * denominator may be zero.

    With v the covariance of the two estimates and t the quantile, the r with

        (denominator^2 - t^2 v_dd) r^2 - 2 (numerator * denominator - t^2 v_nd) r + numerator^2 - t^2 v_nn <= 0

    If the denominator differs from zero at this level they form an interval. Otherwise they form the whole line or
    all but a gap; both are returned as the unbounded interval.

    Args:
        numerator: estimate of the numerator.
        denominator: estimate of the denominator.
        covariance: covariance of the two estimates (not of the single observations), (2, 2), numerator first.
        level: confidence level.
        degrees_of_freedom: of the covariance; infinite for normal quantiles.

    Returns:
        The interval, unbounded on both sides where the data allow any ratio.

    Raises:
        InputError: if the covariance is not a covariance.
    """
    v = np.asarray(covariance, dtype=np.float64)
    if v.shape != (2, 2) or not np.allclose(v, v.T) or np.linalg.eigvalsh(v).min() < -1e-12 * max(1.0, np.abs(v).max()):
        raise InputError("the covariance of a ratio must be a symmetric, positive (2, 2) array.")
    squared = quantile(level, degrees_of_freedom) ** 2
    quadratic = denominator**2 - squared * v[1, 1]
    if quadratic <= 0:
        return UNBOUNDED
    centre = (numerator * denominator - squared * v[0, 1]) / quadratic
    constant = (numerator**2 - squared * v[0, 0]) / quadratic
    half = math.sqrt(max(0.0, centre**2 - constant))
    return Interval(centre - half, centre + half)


def contribution(base: ArrayLike, layer: ArrayLike, full: ArrayLike, level: float = 0.95) -> Contribution:
    """Computes what share of full training's gain a layer's training reaches (arXiv 2607.01232).

        C = (S_layer - S_base) / (S_full - S_base)

    It is stated only if the lower end of the paired interval of S_full - S_base exceeds 5 points: dividing by a gain
    that may be near zero says nothing. The interval is Fieller's, from the tasks' paired differences.

    Args:
        base: success of each task before training, (N,), booleans or 0 and 1.
        layer: the same tasks after training the layer, (N,).
        full: the same tasks after training everything, (N,).
        level: confidence level.

    Returns:
        The contribution, or why there is none.

    Raises:
        InputError: if lengths differ, there is no task, or a value is neither success nor failure.
    """
    base_N, layer_N, full_N = _successes("base", base), _successes("layer", layer), _successes("full", full)
    _require_same_length(base_N, layer_N)
    gain = paired(full_N, base_N, level)
    if gain.interval.low <= MINIMUM_GAIN:
        why = (
            f"training everything gained {100 * gain.difference:+.1f} points with a lower bound of "
            f"{100 * gain.interval.low:+.1f}; a contribution needs a lower bound above {100 * MINIMUM_GAIN:.0f} points"
        )
        return Contribution(None, None, why)
    differences_2N = np.stack([layer_N, full_N]).astype(np.float64) - base_N
    numerator, denominator = differences_2N.mean(axis=1).tolist()
    covariance = np.cov(differences_2N) / gain.n
    interval = fieller(numerator, denominator, covariance, level, gain.n - 1)
    return Contribution(numerator / denominator, interval, None)


def _newcombe(both: int, only_a: int, only_b: int, neither: int, level: float) -> Interval:
    """Newcombe's interval of a paired difference from the four counts (method 10)."""
    n = both + only_a + only_b + neither
    rate_a, rate_b = (both + only_a) / n, (both + only_b) / n
    low_a, high_a = wilson(both + only_a, n, level)
    low_b, high_b = wilson(both + only_b, n, level)
    product = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    covariance = both * neither - only_a * only_b
    corrected = max(covariance - n / 2, 0.0) if covariance > 0 else float(covariance)
    phi = corrected / math.sqrt(product) if product else 0.0

    def reach(own: float, other: float) -> float:
        return math.sqrt(max(0.0, own**2 - 2 * phi * own * other + other**2))

    difference = rate_a - rate_b
    return Interval(
        difference - reach(rate_a - low_a, high_b - rate_b), difference + reach(high_a - rate_a, rate_b - low_b)
    )


def wilson_ends(rate: Any, n: Any, significance: float) -> tuple[Any, Any]:  # noqa: ANN401 - numbers or arrays of them
    """Wilson's ends for shares of `n` episodes, which need not be whole numbers, at a significance of 1 - level."""
    # It is slow to import, and not every command needs it.
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(rate * n, n, alpha=significance, method="wilson")
    return low, high


def _significance(level: float) -> float:
    quantile(level)
    return 1 - level


def _mcnemar(both: int, only_a: int, only_b: int, neither: int) -> float:
    from statsmodels.stats.contingency_tables import mcnemar

    return float(mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue)


def quantile(level: float, degrees_of_freedom: float = math.inf) -> float:
    """The two-sided quantile of Student's t, or of the normal for infinite degrees of freedom."""
    if not 0.0 < level < 1.0:
        raise InputError(f"a confidence level of {level} is impossible; it lies between 0 and 1, as 0.95.")
    upper = (1 + level) / 2
    return float(special.ndtri(upper) if math.isinf(degrees_of_freedom) else special.stdtrit(degrees_of_freedom, upper))


def _successes(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """Reads one success or failure a task."""
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise InputError(f"{name} must hold one success or failure a task, for at least one task.")
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise InputError(f"{name} must hold only successes and failures, true and false or 1 and 0.")
    return array.astype(bool)


def _require_same_length(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> None:
    """Refuses arms that did not play the same tasks."""
    if len(one) != len(other):
        raise InputError(f"paired arms must have played the same tasks, but one has {len(one)} and one {len(other)}.")
