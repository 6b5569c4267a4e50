"""Two entries of one panel against each other, task by task, in a sentence that claims no more than its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from evals import figures, findings
from evals.comparison import Difference, difference, sign_flip
from evals.statistics import mean_interval


def comparisons(entries: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, str]:
    """Compares every pair of one panel's entries.

    Args:
        entries: the entries with their numbers.

    Returns:
        A sentence a pair, by both numbers, the lower first: "3,7". Pairs without the same tasks are left out.
    """
    return {
        f"{min(a, b)},{max(a, b)}": sentence
        for (a, first), (b, second) in combinations(sorted(entries, key=lambda pair: pair[0]), 2)
        if (sentence := compare(first, second))
    }


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Says how far a is above b on their tasks; empty if they have none in common."""
    wins_a, wins_b = a.get("outcomes") or [], b.get("outcomes") or []
    if not wins_a or len(wins_a) != len(wins_b):
        return ""
    plays_a, plays_b = plays(a), plays(b)
    if len(wins_a) == 1:
        return "One task tells nothing."
    if plays_a == plays_b:
        found = difference(wins_a, wins_b, plays_a)
        test = "exact McNemar p" if plays_a == 1 else "exact sign-flip p"
    else:
        gaps = np.asarray(wins_a) * plays_b - np.asarray(wins_b) * plays_a
        shares = gaps / (plays_a * plays_b)
        found = Difference(float(shares.mean()), mean_interval(shares), sign_flip(gaps))
        test = "Student's over tasks, exact sign-flip p"
    verdict = "told apart" if findings.is_resolved({"interval": found.interval, "p": found.p}) else "not told apart"
    measured = f"{_range(found.interval)}, {test} {_p(found.p)}"
    return f"{findings.in_points(found.value)} points on {len(wins_a)} tasks ({measured}): {verdict}."


def plays(entry: Mapping[str, Any]) -> int:
    """How often each task was played."""
    return max(len((entry.get("sampling") or {}).get("seeds") or []), 1)


def _range(interval: Sequence[float]) -> str:
    return f"95 % interval {findings.range_of_points(interval)}"


def _p(p: float) -> str:
    words = figures.p_value(p)
    return words if words.startswith("<") else f"= {words}"
