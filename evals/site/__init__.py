"""The leaderboard's site: one page with the ranking, comparisons and every episode, which needs nothing but itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any


def build(
    entries: Sequence[Mapping[str, Any]], episodes: Mapping[str, Path], out: Path, own: Collection[int] = ()
) -> Path:
    """Writes the site.

    Args:
        entries: leaderboard entries, of any panels.
        episodes: by an entry's position as a string, an `episodes.jsonl` with its rows; of other temperatures' rows
            than the entry's none are taken.
        out: the folder to write to; made if it is not there.
        own: positions of the user's own entries, which are marked.

    Returns:
        The path of `index.html`.

    Raises:
        InputError: an entry lacks what every entry has, an episodes file cannot be read, or the folder cannot be
            written.
    """
    # The statistics take a second to import, which the commands beside this package would pay at every mistake.
    from evals.site import board

    return board.build(entries, episodes, out, own)
