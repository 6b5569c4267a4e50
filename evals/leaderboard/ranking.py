"""Places on a panel, with ties shown as ties.

A table holds the entries of one world that played the same tasks (same hashes of their names and of what stands behind
them) under the same conditions (turns and other options that change what a task asks). Within a table every pair of
entries is compared task by task, by the exact sign-flip test on the differences of their wins: under the hypothesis
that both are equally good each task's difference is as likely as its negative, and p is the share of all sign patterns
whose sum is at least as far from zero as the one found. Where each task was played once by both, this is the exact
McNemar test (McNemar 1947, Psychometrika 12:153). Holm's correction (Holm 1979, Scandinavian Journal of Statistics
6:65) is taken over all pairs of the table. A difference is clear if its corrected p is below 0.05.

Entries are sorted by success, and each has the range of places that the clear differences leave it: with K entries, the
best is one more than the number of those clearly better, the worst is K less the number of those clearly worse. That is
how confidence sets for ranks are made of corrected comparisons of all pairs (Mogstad and others, in arXiv 2401.15205).
A range is as long as the list of those that the entry is not told apart from. As "not told apart" is not transitive,
neighbours have ranges that overlap, not one place that they share. Being tied means that the panel cannot tell entries
apart, never that they are equal. The spread between training seeds is not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evals.comparison import holm, sign_flip
from evals.findings import SIGNIFICANCE
from evals.leaderboard.contents import other_content
from evals.leaderboard.entries import Entry, conditions, seeds


class Ranked(NamedTuple):
    """An entry and where it stands.

    Attributes:
        place: the best place that the panel leaves it, from 1.
        last: the worst one.
        entry: the entry.
    """

    place: int
    last: int
    entry: Entry

    @property
    def tied(self) -> bool:
        """Whether the panel does not tell it apart from others."""
        return self.place < self.last

    @property
    def places(self) -> str:
        """The range in words: "3", "3 to 8"."""
        return f"{self.place} to {self.last}" if self.tied else str(self.place)


def table_key(entry: Entry) -> str:
    """What entries must agree in to be ranked together."""
    panel = entry["panel"]
    played = conditions(entry) | {"max_turns": entry["sampling"].get("max_turns")}
    content = other_content(panel)
    known = [entry["env"], panel["name"], panel["sha256"], played, *([content] if content else [])]
    return json.dumps(known, sort_keys=True)


def tables(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Sorts entries into tables, in order of world, panel and conditions."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(table_key(entry), []).append(entry)
    return [found[key] for key in sorted(found)]


def rank(entries: Sequence[Entry]) -> list[Ranked]:
    """Gives each entry its range of places within its table.

    Args:
        entries: of any tables.

    Returns:
        All of them, table by table, each table by success. Of equals in success those with fewer
        trained parameters come first, then by name.
    """
    return [ranked for table in tables(entries) for ranked in _rank_table(table)]


def clear_differences(entries: Sequence[Entry]) -> NDArray[np.bool_]:
    """Which pairs of a table's entries differ clearly, (K, K), symmetric."""
    return corrected_p_values(entries) < SIGNIFICANCE


def corrected_p_values(entries: Sequence[Entry]) -> NDArray[np.float64]:
    """The p of every pair of a table's entries after Holm's correction over all pairs, (K, K), symmetric."""
    first, second = np.triu_indices(len(entries), 1)
    corrected_KK = np.ones((len(entries), len(entries)))
    p_pairs = holm(p_values(entries)[first, second].tolist())
    corrected_KK[first, second] = corrected_KK[second, first] = p_pairs
    return corrected_KK


def p_values(entries: Sequence[Entry]) -> NDArray[np.float64]:
    """The exact test's p of every pair of a table's entries, (K, K)."""
    rounds = [seeds(entry) for entry in entries]
    wins_KN = np.array([entry["outcomes"] for entry in entries], dtype=np.int64)
    once = [row for row, count in enumerate(rounds) if count == 1]
    p_KK = np.ones((len(entries), len(entries)))
    if once:
        won = wins_KN[once].astype(np.float64)
        only_first = won @ (1 - won).T
        fewer, all_of_them = np.minimum(only_first, only_first.T), only_first + only_first.T
        p_KK[np.ix_(once, once)] = np.minimum(1.0, 2 * special.bdtr(fewer, all_of_them.astype(int), 0.5))
    for row in range(len(entries)):
        for column in range(row + 1, len(entries)):
            if rounds[row] > 1 or rounds[column] > 1:
                gaps_N = wins_KN[row] * rounds[column] - wins_KN[column] * rounds[row]
                p_KK[row, column] = p_KK[column, row] = sign_flip(gaps_N)
    return p_KK


def _rank_table(entries: Sequence[Entry]) -> list[Ranked]:
    ordered = sorted(entries, key=_order)
    clear = clear_differences(ordered)
    count = len(ordered)
    better = [int(clear[:row, row].sum()) for row in range(count)]
    worse = [int(clear[row, row + 1 :].sum()) for row in range(count)]
    return [Ranked(1 + above, count - below, entry) for above, below, entry in zip(better, worse, ordered, strict=True)]


def _order(entry: Entry) -> tuple[Any, ...]:
    trained = (entry["training"] or {}).get("trained_parameters") or 0
    return -entry["score"]["success"], trained, entry["name"], json.dumps(entry["sampling"], sort_keys=True)
