"""Where one entry stands, in words that claim no more than the panel shows."""

from __future__ import annotations

from collections.abc import Sequence

from agents.starts import written
from evals.leaderboard.choosing import changes
from evals.leaderboard.contents import tasks_of
from evals.leaderboard.entries import Entry, key_of
from evals.leaderboard.ranking import rank, table_key, tables


def standing(entry: Entry, entries: Sequence[Entry]) -> list[str]:
    """Says the places of an entry among those of its table.

    Args:
        entry: one of the entries.
        entries: those of any tables.

    Returns:
        One or two lines.
    """
    key, panel = key_of(entry), entry["panel"]["name"]
    ranked = rank([other for other in entries if table_key(other) == table_key(entry)])
    row = next(number for number, each in enumerate(ranked) if key_of(each.entry) == key)
    if len(ranked) == 1:
        return [f"place 1 of 1 on {panel}: nobody else has played these tasks under these conditions"]
    found = ranked[row]
    lines = [f"place{'s' if found.tied else ''} {found.places} of {len(ranked)} on {panel}"]
    above, below, alike = found.place - 1, len(ranked) - found.last, found.last - found.place
    return [*lines, f"clearly worse than {above}, clearly better than {below}, not to be told from {alike}"]


def elsewhere(entry: Entry, entries: Sequence[Entry]) -> list[str]:
    """Says how to stand among those who played the same tasks under other conditions, where they are more.

    Args:
        entry: one of the entries.
        entries: those of any tables.

    Returns:
        One line, or none.
    """
    own = table_key(entry)
    same = [other for other in entries if _played(other) == _played(entry)]
    largest = max(tables(same), key=len)
    wanted = changes(entry["options"], largest[0])
    if len(largest) <= sum(table_key(other) == own for other in same) or not wanted:
        return []
    here = ", ".join(f"env.{name}={written(entry['options'].get(name))}" for name in wanted)
    there = " ".join(f"env.{name}={written(value)}" for name, value in wanted.items())
    return [f"{len(largest)} entries played these tasks with {there}, this one with {here}: add {there} ranks it there"]


def _played(entry: Entry) -> tuple[str, ...]:
    """What entries that played the same tasks have in common, under whatever conditions."""
    return (entry["env"], entry["panel"]["name"], *tasks_of(entry["panel"]))
