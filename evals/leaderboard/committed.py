"""The entries that come with the repository, one JSON file each: the references beside which all others stand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from envs import presets
from envs.errors import InputError
from envs.installation import REPOSITORY
from evals.leaderboard.contents import tasks_of
from evals.leaderboard.entries import Entry, check, conditions, key_of
from evals.leaderboard.ranking import table_key

FOLDER = REPOSITORY / "evals" / "results" / "leaderboard"


def entries(folder: Path = FOLDER) -> list[Entry]:
    """Reads them, in order of file name.

    Raises:
        InputError: a file holds no entry.
    """
    return [read(path) for path in sorted(folder.glob("*.json"))]


def without(mine: Iterable[Entry], folder: Path = FOLDER) -> list[Entry]:
    """Those that a user has not scored again: of equal entries the user's own is shown."""
    known = {scored(entry) for entry in mine}
    return [entry for entry in entries(folder) if scored(entry) not in known]


def scored(entry: Entry) -> str:
    """What tells scores apart: of a delta its weights, panel and settings, not what it and its base are called."""
    return key_of({**entry, "name": "", "policy": ""} if isinstance(entry["delta_sha256"], str) else entry)


def panels(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """The panels that entries stand on, in order of name, with their world."""
    found = {tasks_of(entry["panel"]): {"env": entry["env"], **entry["panel"]} for entry in entries(folder)}
    return sorted(found.values(), key=lambda panel: str(panel["name"]))


def conditions_on(panel: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The conditions under which a panel's entries were played; nothing where they differ or there are none."""
    found = [entry for entry in entries(folder) if entry["panel"]["name"] == panel]
    if len({table_key(entry) for entry in found}) != 1:
        return {}
    turns = found[0]["sampling"]["max_turns"]
    return conditions(found[0]) | ({"max_turns": turns} if turns is not None else {})


@cache
def fixed_panels() -> frozenset[str]:
    """The panels of `configs/panel/`."""
    return frozenset(presets.names("panel"))


def read(path: Path) -> Entry:
    """Reads one.

    Raises:
        InputError: the file holds no entry.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON ({error}).") from None
    return check(content, str(path))
