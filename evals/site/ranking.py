"""Places of entries on one panel: by success; who won as much shares a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Ranked(NamedTuple):
    """An entry and its place.

    Attributes:
        place: from 1; equal for ties.
        entry: the entry.
        tied: whether others share the place.
    """

    place: int
    entry: Mapping[str, Any]
    tied: bool


def rank(entries: Sequence[Mapping[str, Any]]) -> list[Ranked]:
    """Ranks entries of one panel, the best first."""
    successes = [entry["score"]["success"] for entry in entries]
    ranked = [
        Ranked(1 + sum(other > success for other in successes), entry, successes.count(success) > 1)
        for success, entry in zip(successes, entries, strict=True)
    ]
    return sorted(ranked, key=lambda found: found.place)
