"""Finds the real ALFWorld games of a split and fixes their order.

The splits are the published ones: of the raw trial folders those of the six task types, without "movable" and "Sliced",
whose game file says that it is solvable (3,553 train, 140 valid_seen and 134 valid_unseen games of the release).
The folders are scanned once; the result is kept in the cache folder until a file changes. Left out: downloading, which
`alfworld-download` does.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from envs.alfworld.reading import load_json, read_bytes
from envs.errors import InputError, unknown

SPLITS = ("train", "valid_seen", "valid_unseen")
TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
GAME_FILE = "game.tw-pddl"
RELEASE_FOLDER = "json_2.1.1"
"""The folder's name in both published formats."""


class GameIndex(NamedTuple):
    """The games of one split.

    Attributes:
        root: the folder that holds the split folders.
        split: train, valid_seen or valid_unseen.
        names: the games' task names, their folders below `root`, sorted.
        sha256: hash over the names and the contents of the files.
    """

    root: Path
    split: str
    names: tuple[str, ...]
    sha256: str

    def path(self, name: str) -> Path:
        """Returns where a game's file is."""
        return self.root / name / GAME_FILE


def find_games(data: str, split: str) -> GameIndex | None:
    """Finds the games of a split.

    Args:
        data: a folder: what `$ALFWORLD_DATA` may name, its `json_2.1.1`, or one split's folder. "" looks at
            `$ALFWORLD_DATA`, then at ~/.cache/alfworld, where `alfworld-download` puts the games.
        split: train, valid_seen or valid_unseen.

    Returns:
        The games; None if `data` is "" and there is no data on this machine.

    Raises:
        InputError: if a folder was named that is not there or holds no game of the split, or a file is incomplete.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    default = Path.home() / ".cache" / "alfworld"
    named = data or os.environ.get("ALFWORLD_DATA", "")
    # Importing the alfworld package sets the variable to the default folder, so that value asks for nothing.
    explicit = bool(named) and (bool(data) or Path(named) != default)
    origin = f"data={data}" if data else f"ALFWORLD_DATA={named}"
    folder = Path(named).expanduser() if named else default
    if explicit and not folder.is_dir():
        raise InputError(
            f"{origin}: there is no such folder. Give the folder that holds {RELEASE_FOLDER}, or data=generated."
        )
    games = _scan(folder.resolve(), split)
    if games is None and explicit:
        raise InputError(
            f"{origin}: no ALFWorld game of the split {split} is there. Expected"
            f" {RELEASE_FOLDER}/{split}/<task>/<trial>/{GAME_FILE}, as alfworld-download makes it. Or data=generated."
        )
    return games


def split_folder(folder: Path, split: str) -> Path:
    """Returns where a split's games should be, whether `folder` holds the release, the splits, or is the split."""
    if folder.name == split and not (folder / split).is_dir():
        return folder
    below = folder / RELEASE_FOLDER / split
    return below if below.is_dir() else folder / split


def cache_folder() -> Path:
    """Returns where derived files are kept: `$KEYSTONE_CACHE`, else ~/.cache/keystone."""
    return Path(os.environ.get("KEYSTONE_CACHE") or Path.home() / ".cache" / "keystone").expanduser()


def forget() -> None:
    """Forgets what was found in this process, so that the next search sees folders that have changed since."""
    _scan.cache_clear()


@lru_cache(maxsize=16)
def _scan(folder: Path, split: str) -> GameIndex | None:
    place = split_folder(folder, split)
    listing = _list_files(place)
    if not listing:
        return None
    key = hashlib.sha256(json.dumps([str(place), listing]).encode()).hexdigest()
    stored = cache_folder() / "alfworld" / f"games-{key[:32]}.json"
    found = _load(stored)
    if found is None:
        found = _read_all(place, [name for name, _, _ in listing])
        _store(stored, *found)
    names, digest = found
    return GameIndex(place.parent, split, tuple(names), digest) if names else None


def _list_files(place: Path) -> list[tuple[str, int, int]]:
    """Lists the candidate games below a split's folder: name, modification time, size; sorted by name."""
    listing = []
    for folder, subfolders, files in os.walk(place):
        subfolders.sort()
        if GAME_FILE in files:
            name = f"{place.name}/{Path(folder).relative_to(place).as_posix()}"
            if _playable_name(name):
                status = _status(os.path.join(folder, GAME_FILE))
                listing.append((name, status.st_mtime_ns, status.st_size))
    return sorted(listing)


def _status(path: str) -> os.stat_result:
    try:
        path.encode("utf-8")
        return os.stat(path)
    except UnicodeEncodeError:
        raise InputError(f"cannot read the game file {path!r}: its folder's name is not UTF-8.") from None
    except OSError as error:
        raise InputError(f"cannot read the game file {path}: {error.strerror or error}.") from error


def _playable_name(name: str) -> bool:
    parts = name.split("/")
    return (
        "movable" not in name
        and "Sliced" not in name
        and any(part.startswith(f"{task_type}-") for part in parts for task_type in TASK_TYPES)
    )


def _read_all(place: Path, names: list[str]) -> tuple[list[str], str]:
    """Keeps the solvable games and hashes them."""
    kept = []
    digest = hashlib.sha256()
    for name in names:
        path = place.parent / name / GAME_FILE
        content = read_bytes(path)
        if load_json(content, str(path)).get("solvable") is True:
            kept.append(name)
            digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return kept, digest.hexdigest()


def _load(stored: Path) -> tuple[list[str], str] | None:
    try:
        data = json.loads(stored.read_text(encoding="utf-8"))
        names, digest = data["names"], data["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return names, digest


def _store(stored: Path, names: list[str], digest: str) -> None:
    """Writes the result aside and renames it; a cache that cannot be written is done without."""
    aside = stored.with_name(f"{stored.name}.{os.getpid()}")
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps({"names": names, "sha256": digest}), encoding="utf-8")
        os.replace(aside, stored)
    except OSError:
        return
