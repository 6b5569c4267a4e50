"""Two entries of one table against each other, task by task, in a sentence that claims no more than its ranking.

The pair's own p is shown beside the one that the ranking goes by, which is corrected for all pairs of the table: only
the corrected one says whether two entries are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from evals import figures, findings
from evals.comparison import Difference, difference, sign_flip
from evals.leaderboard.ranking import corrected_p_values
from evals.statistics import mean_interval


def comparisons(entries: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, str]:
    """Compares every pair of one table's entries.

    Args:
        entries: all entries of the table with their numbers.

    Returns:
        A sentence a pair, by both numbers, the lower first: "3,7". Pairs without outcomes are left out.
    """
    ordered = sorted(entries, key=lambda pair: pair[0])
    corrected_KK = corrected_p_values([entry for _, entry in ordered])
    pairs = list(combinations(range(len(ordered)), 2))
    return {
        f"{ordered[a][0]},{ordered[b][0]}": sentence
        for a, b in pairs
        if (sentence := compare(ordered[a][1], ordered[b][1], float(corrected_KK[a, b]), len(pairs)))
    }


def compare(a: Mapping[str, Any], b: Mapping[str, Any], corrected: float | None = None, pairs: int = 1) -> str:
    """Says how far a is above b on their tasks; empty if they have none in common.

    Args:
        a: the one entry.
        b: the other.
        corrected: their p after the correction for all pairs of the table; None where they are its only pair.
        pairs: how many pairs the table has.
    """
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
    measured = f"{_range(found.interval)}, {test} {_p(found.p)}"
    if pairs > 1 and corrected is not None:
        measured += f"; corrected for the {pairs:,} pairs of this table p {_p(corrected)}"
    verdict = _verdict(found.interval, found.p if corrected is None else corrected)
    return f"{findings.in_points(found.value)} points on {len(wins_a)} tasks ({measured}): {verdict}."


def _verdict(interval: Sequence[float], p: float) -> str:
    """What the ranking says of the pair, and whether its interval agrees."""
    if p >= findings.SIGNIFICANCE:
        return "not told apart"
    agrees = findings.is_resolved({"interval": interval, "p": p})
    return "told apart" if agrees else "told apart by the test, while the interval holds zero"


def plays(entry: Mapping[str, Any]) -> int:
    """How often each task was played."""
    return max(len((entry.get("sampling") or {}).get("seeds") or []), 1)


def _range(interval: Sequence[float]) -> str:
    return f"95 % interval {findings.range_of_points(interval)}"


def _p(p: float) -> str:
    words = figures.p_value(p)
    return words if words.startswith("<") else f"= {words}"
