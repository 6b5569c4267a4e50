"""What a panel can show: the difference of success rates that its tasks tell from none four times out of five.

Where each task is played once, that is the power of the exact McNemar test, by which verdicts are passed. With a share
s of n tasks that only one of two policies wins, and a difference d between them, the number of such tasks is
binomial(n, s), and of m of them the better policy wins binomial(m, (s + d) / 2s); so many that the test's two-sided p
is below 5 % are needed. Where tasks are played several times, it is that of Student's paired test.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from evals.findings import SIGNIFICANCE

POWER = 0.8
_EXACT_UP_TO = 20_000
"""Tasks from which the exact test's power is the normal approximation's."""


def tasks_to_see(difference: float, deviation: float, plays: int = 1, *, as_good: bool = False) -> int:
    """The tasks that two policies must play for a difference to be seen four times out of five.

    Args:
        difference: of their success rates, above 0.
        deviation: standard deviation of the tasks' differences. A difference d has one of its own, at least that of
            d / plays - d^2 in square: the tasks that make it up differ.
        plays: plays of each task by each policy.
        as_good: whether the deviation is that of a policy and another as good, rather than of two that differ so.

    Returns:
        The number of tasks for a paired two-sided test at 5 %.
    """
    share = _apart(difference, deviation, as_good)
    if plays == 1:
        deviation = math.sqrt(max(share - difference**2, 0.0))
    count = _by_student(difference, deviation, plays)
    if plays > 1 or count > _EXACT_UP_TO:
        return count
    low, high = 1, count
    while _power(high, difference, share) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(middle, difference, share) >= POWER else (middle, high)
    return high


def visible_difference(tasks: int, deviation: float, plays: int = 1, *, as_good: bool = False) -> float:
    """The difference of success rates that so many tasks show four times out of five; infinite where none can.

    Args: as those of `tasks_to_see`.
    """
    if tasks < 2:
        return math.inf
    if plays > 1 or tasks > _EXACT_UP_TO:
        return _visible_by_student(tasks, deviation, plays)
    low, high = 0.0, 1.0
    if _power(tasks, high, 1.0) < POWER:
        return math.inf
    while high - low > 1e-5:
        middle = (low + high) / 2
        shows = _power(tasks, middle, _apart(middle, deviation, as_good)) >= POWER
        low, high = (low, middle) if shows else (middle, high)
    return high


def _apart(difference: float, deviation: float, as_good: bool) -> float:
    """The share of tasks that only one of two policies wins, at a difference between them.

    Of two that win independently it is 2 p (1 - p) where both have the rate p, and of p and p + d more or less by
    |1 - 2 p| d; the more is taken, as nobody knows which way another policy differs.
    """
    more = math.sqrt(max(1 - 2 * deviation**2, 0.0)) * difference if as_good else difference**2
    return min(max(deviation**2 + more, difference), 1.0)


def _power(tasks: int, difference: float, share: float) -> float:
    """How often the exact McNemar test tells a difference from none, in its direction."""
    from scipy import stats

    spread = 8 * math.sqrt(tasks * share * (1 - share)) + 8
    fewest, most = max(0, math.floor(tasks * share - spread)), min(tasks, math.ceil(tasks * share + spread))
    apart = np.arange(fewest, most + 1)
    needed = stats.binom.isf(SIGNIFICANCE / 2, apart, 0.5) + 1
    wins = stats.binom.sf(needed - 1, apart, min((share + difference) / (2 * share), 1.0))
    return float((stats.binom.pmf(apart, tasks, share) * wins).sum())


def _by_student(difference: float, deviation: float, plays: int) -> int:
    from scipy import special
    from statsmodels.stats.power import TTestPower

    effect = difference / max(deviation, math.sqrt(max(difference / plays - difference**2, 0)))
    try:
        found = TTestPower().solve_power(effect_size=effect, alpha=SIGNIFICANCE, power=POWER)
    except ValueError:
        # Its search starts far from the large numbers that small effects need; there, t is the normal.
        found = ((special.ndtri(1 - SIGNIFICANCE / 2) + special.ndtri(POWER)) / effect) ** 2
    return max(math.ceil(float(np.squeeze(found))), 2)


def _visible_by_student(tasks: int, deviation: float, plays: int) -> float:
    from statsmodels.stats.power import TTestPower

    effect = float(np.squeeze(TTestPower().solve_power(nobs=tasks, alpha=SIGNIFICANCE, power=POWER)))
    return max(effect * deviation, effect**2 / (plays * (1 + effect**2)))


def deviation_of_one(won: ArrayLike, plays: ArrayLike) -> float:
    """The standard deviation of the tasks' differences between a policy and one as good that wins independently of it.

    Policies that tend to win the same tasks differ less, and need fewer tasks.

    Args:
        won: plays won of each task, (M,).
        plays: plays of each task, (M,).
    """
    won_M, plays_M = np.asarray(won, dtype=np.float64), np.asarray(plays, dtype=np.float64)
    rate = (won_M.sum() + 2) / (plays_M.sum() + 4)
    between = np.square(won_M / plays_M - won_M.sum() / plays_M.sum()).sum() / max(len(won_M) - 1, 1)
    return math.sqrt(2 * max(between, rate * (1 - rate) / plays_M.mean()))


def power_line(tasks: int, deviation: float, plays: int = 1, points: float = 3.0, *, as_good: bool = False) -> str:
    """Says what a panel can show and what a small difference would take.

    Args:
        tasks: of the panel.
        deviation: standard deviation of the tasks' differences between two policies.
        plays: plays of each task by each policy.
        points: the small difference, in percentage points.
        as_good: as of `tasks_to_see`.

    Returns:
        Two clauses.
    """
    needed = tasks_to_see(points / 100, deviation, plays, as_good=as_good)
    shown = 100 * visible_difference(tasks, deviation, plays, as_good=as_good)
    own = f"one of {shown:.1f} points" if shown < 100 else "none"
    return f"to see a difference of {points:g} points you need {needed:,} tasks; the {tasks:,} here show {own}"
