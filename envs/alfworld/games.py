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
from collections.abc import Container
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from envs.alfworld.reading import load_json, read_bytes
from envs.cache import cache_folder, write_aside
from envs.errors import InputError, unknown
from envs.files import expanded
from envs.progress import track

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


class Stamp(NamedTuple):
    """What changes when a file does.

    Attributes:
        modified: time of the last change in nanoseconds.
        size: in bytes.
    """

    modified: int
    size: int


class GameIndex(NamedTuple):
    """The games of one split.

    Attributes:
        root: the folder that holds the split folders.
        split: train, valid_seen or valid_unseen.
        names: the games' task names, their folders below `root`, sorted.
        sha256: hash over the names and the contents of the files.
        stamps: of each game's file when it was found.
    """

    root: Path
    split: str
    names: tuple[str, ...]
    sha256: str
    stamps: tuple[Stamp, ...]

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
    folder = expanded(named) if named else default
    if explicit and not folder.is_dir():
        raise InputError(
            f"{origin}: there is no such folder. Give the folder that holds {RELEASE_FOLDER}, or data=generated."
        )
    games = _scan(Path(os.path.realpath(folder)), split)
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


def stamp_of(path: str) -> Stamp:
    """Returns the stamp of a game file.

    Raises:
        InputError: the file is not there, or its name is not UTF-8.
    """
    try:
        path.encode("utf-8")
        status = os.stat(path)
    except UnicodeEncodeError:
        raise InputError(f"cannot read the game file {path!r}: its folder's name is not UTF-8.") from None
    except OSError as error:
        raise InputError(f"cannot read the game file {path}: {error.strerror or error}.") from error
    return Stamp(status.st_mtime_ns, status.st_size)


def forget() -> None:
    """Forgets what was found in this process, so that the next search sees folders that have changed since."""
    _scan.cache_clear()


@lru_cache(maxsize=16)
def _scan(folder: Path, split: str) -> GameIndex | None:
    place = split_folder(folder, split)
    listing = _list_files(place)
    if not listing:
        return None
    key = hashlib.sha256(json.dumps([str(place), list(listing.items())]).encode()).hexdigest()
    stored = cache_folder() / "alfworld" / f"games-{key[:32]}.json"
    found = _load(stored, listing)
    if found is None:
        found = _read_all(place, list(listing))
        content = {"names": found[0], "sha256": found[1], "checksum": _checksum(*found)}
        write_aside(stored, json.dumps(content).encode())
    names, digest = found
    stamps = tuple(listing[name] for name in names)
    return GameIndex(place.parent, split, tuple(names), digest, stamps) if names else None


def _list_files(place: Path) -> dict[str, Stamp]:
    """Lists the candidate games below a split's folder by name, sorted."""
    listing = {}
    for folder, _, files in os.walk(place):
        if GAME_FILE in files:
            name = place.name + folder[len(str(place)) :].replace(os.sep, "/")
            if _playable_name(name):
                listing[name] = stamp_of(os.path.join(folder, GAME_FILE))
    return dict(sorted(listing.items()))


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
    for name in track(names, f"finding {place.name} games, once"):
        path = place.parent / name / GAME_FILE
        content = read_bytes(path)
        if load_json(content, str(path)).get("solvable") is True:
            kept.append(name)
            digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return kept, digest.hexdigest()


def _checksum(names: list[str], digest: str) -> str:
    return hashlib.sha256(json.dumps([names, digest]).encode()).hexdigest()


def _load(stored: Path, listing: Container[str]) -> tuple[list[str], str] | None:
    try:
        data = json.loads(stored.read_text(encoding="utf-8"))
        names, digest = data["names"], data["sha256"]
        usable = data["checksum"] == _checksum(names, digest) and all(name in listing for name in names)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return (names, digest) if usable else None
