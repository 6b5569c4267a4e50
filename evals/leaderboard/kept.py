"""The episodes of the entries that come with the repository, so that a fresh clone's pages can show them.

Each is the `episodes.jsonl` of an entry's evaluation, without what its playing cost, packed by LZMA:
`evals/results/leaderboard/episodes/NAME.jsonl.xz` beside `NAME.json`. Only worlds that need no data have them, since
episodes repeat what their tasks say, and a data set is not ours to give.
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.leaderboard import committed
from evals.leaderboard.entries import key_of
from evals.site.packing import read_rows

SUFFIX = ".jsonl.xz"
# What `data=` says where a world makes its tasks itself.
_NOBODYS = ("", "generated")


def files(folder: Path = committed.FOLDER) -> dict[str, Path]:
    """The files of episodes that there are, by the keys of their entries."""
    found = {path: episodes_of(path) for path in sorted(folder.glob("*.json"))}
    return {key_of(committed.read(path)): file for path, file in found.items() if file.is_file()}


def episodes_of(entry: Path) -> Path:
    """Where the episodes of an entry's file are, or would be."""
    return entry.parent / "episodes" / f"{entry.stem}{SUFFIX}"


def may_keep(entry: Mapping[str, Any]) -> bool:
    """Whether an entry's episodes show no data but Keystone's own, or a package's."""
    return entry["options"].get("data", "") in _NOBODYS


def keep(episodes: Path, entry: Path) -> None:
    """Packs the episodes of an entry.

    Args:
        episodes: the `episodes.jsonl` of its evaluation.
        entry: the entry's file.
    """
    kept = episodes_of(entry)
    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_name(f"{kept.name}.part")
    with lzma.open(aside, "wb", preset=9 | lzma.PRESET_EXTREME) as file:
        for row in read_rows(episodes):
            row.pop("cost", None)
            file.write(json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n")
    os.replace(aside, kept)
