"""Game files: those made from a task's name and kept in the cache, and those of the user.

A game is a story file for the Z-machine (`.z8`) and what TextWorld knows about it (`.json`) beside it. Glulx files
(`.ulx`), which the library no longer plays, and lone `.json` files are compiled anew from the `.json`. Compiled games
stand in the cache folder ($KEYSTONE_CACHE, else ~/.cache/keystone), each in a folder named by the hash of what it was
made from; such a folder is written aside and renamed, and while one process makes a game the others wait for it, for a
time.
Left out: story files without their `.json`, whose admissible commands and end nobody knows.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from envs.cache import cache_folder
from envs.errors import InputError, shortened
from envs.files import parse_json, read_text, understood
from envs.textworld.families import MadeTask
from envs.textworld.library import library
from envs.textworld.making import compile_story, make_game

STORY, FACTS = ".z8", ".json"
_COMPILED = (STORY, ".ulx")
_GAME = f"game{STORY}"
_FORMAT = "1"
_MOST_BYTES = 8_000_000
_NUM_LOCKS = 64
_LOCK_SECONDS = 30.0
_LOGGER = logging.getLogger("keystone.textworld")


def made_file(name: str) -> Path:
    """Returns the story file of a made game, which is made and compiled first where the cache does not have it.

    Args:
        name: the task's name.

    Raises:
        MissingExtraError: TextWorld is not installed.
        InputError: it is not the name of a made game, or the cache cannot be written.
    """
    task = MadeTask(name)
    return _kept(f"made\0{name}", lambda: make_game(task))


@lru_cache(maxsize=4096)
def made_sha256(name: str) -> str:
    """Returns the hash of what a made game consists of: its things, rules, quests and objective.

    It is that of the game in the cache, which is the one that is played; where the cache has none it is made, which
    takes a twentieth of a second, and not compiled, which takes one.

    Args:
        name: the task's name.

    Raises:
        MissingExtraError: TextWorld is not installed.
        InputError: it is not the name of a made game, or the one in the cache cannot be read.
    """
    task = MadeTask(name)
    kept = (_folder(f"made\0{name}") / _GAME).with_suffix(FACTS)
    facts = None if kept.is_file() else make_game(task).serialize()
    with understood(kept, "a made game"):
        facts = facts or parse_json(read_text(kept, "game file", _MOST_BYTES), "it")
        # Of the rules, their text: the library writes beside it in which folder it is installed.
        said = {part: facts[part] for part in ("world", "infos", "objective")} | {"rules": facts["KB"]["logic"]}
        # The library writes a quest's conditions down in the order of a set, which differs between processes.
        text = json.dumps(said | {"quests": _ordered(facts["quests"])}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def playable(path: Path) -> Path:
    """Returns a story file to play for a game file of the user.

    Args:
        path: a `.z8` or `.ulx` file with its `.json` beside it, or that `.json`.

    Raises:
        MissingExtraError: a file must be compiled and TextWorld is not installed.
        InputError: there is no such file or the `.json` is missing.
    """
    if path.suffix not in (*_COMPILED, FACTS):
        raise InputError(f"{path} is no TextWorld game. Allowed: a .z8 or .ulx file with its .json beside it.")
    for needed in dict.fromkeys((path, path.with_suffix(FACTS))):
        if not needed.is_file():
            raise InputError(f"there is no game file {needed}. A game is a .z8 or .ulx file and its .json beside it.")
    story = path.with_suffix(STORY)
    if path.suffix != ".ulx" and story.is_file():
        return story
    content = read_bytes(path.with_suffix(FACTS))
    return _kept(f"given\0{hashlib.sha256(content).hexdigest()}", lambda: load_facts(path.with_suffix(FACTS)))


def find(folder: Path) -> list[Path]:
    """Finds the games in a folder and the folders below it.

    Args:
        folder: where to look.

    Returns:
        Their story files, sorted; of one that is there in several formats the `.z8`.
    """
    found: dict[Path, Path] = {}
    for suffix in reversed(_COMPILED):
        for path in folder.rglob(f"*{suffix}"):
            if path.with_suffix(FACTS).is_file():
                found[path.with_suffix("")] = path
    return sorted(found.values())


def load_facts(path: Path) -> Any:  # noqa: ANN401 - the library's own type
    """Reads what TextWorld knows about a game.

    Args:
        path: of the `.json`.

    Returns:
        A `textworld.Game`.

    Raises:
        MissingExtraError: TextWorld is not installed.
        InputError: it is not the content of such a file.
    """
    textworld = library()
    text = read_text(path, "game file", _MOST_BYTES)
    try:
        return textworld.Game.deserialize(parse_json(text, "it"))
    # The library's parsers raise errors of many kinds over a file that is not what it should be.
    except Exception as error:
        said = shortened(" ".join(str(error).split()), 100)
        raise InputError(f"{path} is not a game of TextWorld ({type(error).__name__}: {said}).") from error


def check_story(path: Path) -> None:
    """Makes sure that a story file is whole: the interpreter, a C library, ends the process over one that is not.

    Args:
        path: of the `.z8`.

    Raises:
        InputError: it is not a story file of version 8, or its length or checksum is not what its header says.
    """
    content = read_bytes(path)
    # Z-Machine Standard 1.1, section 11: version at 0, length in units of 8 bytes at 26, checksum at 28.
    length = 8 * int.from_bytes(content[26:28], "big")
    if len(content) < 64 or content[0] != 8 or not 64 <= length <= len(content):
        raise InputError(f"{path} is not a whole story file of the Z-machine, version 8.")
    if sum(content[64:length]) % 65536 != int.from_bytes(content[28:30], "big"):
        raise InputError(f"{path} is damaged: its checksum is not the one in its header.")


def read_bytes(path: Path) -> bytes:
    """Reads a game file.

    Raises:
        InputError: it cannot be read or is too large to be one.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is too large for a game file: more than {_MOST_BYTES:,} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the game file {path}: {error.strerror or error}.") from error


def _kept(source: str, make: Callable[[], Any]) -> Path:
    """Returns the story file made from a source, from the cache if it is there."""
    library()
    folder = _folder(source)
    if _whole(folder):
        return folder / _GAME
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent / f"lock-{int(folder.name, 16) % _NUM_LOCKS:02}", source.partition("\0")[2]):
            if not _whole(folder):
                _write(make(), folder)
    except OSError as error:
        raise InputError(
            f"cannot keep the compiled game in {folder.parent}: {error.strerror or error}. Set KEYSTONE_CACHE to a"
            " folder that can be written."
        ) from error
    return folder / _GAME


def _folder(source: str) -> Path:
    """Returns where the game made from a source is kept."""
    version = importlib.metadata.version("textworld")
    digest = hashlib.sha256("\0".join((_FORMAT, version, source)).encode()).hexdigest()
    return cache_folder() / "textworld" / digest[:32]


def _ordered(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Puts lists into an order of their own."""
    if isinstance(value, dict):
        return {name: _ordered(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return sorted(map(_ordered, value), key=lambda part: json.dumps(part, sort_keys=True))
    return value


def _whole(folder: Path) -> bool:
    return (folder / _GAME).is_file() and (folder / _GAME).with_suffix(FACTS).is_file()


def _write(game: Any, folder: Path) -> None:  # noqa: ANN401
    """Writes a game beside its folder and renames."""
    aside = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    aside.mkdir()
    try:
        game.save(str((aside / _GAME).with_suffix(FACTS)))
        compile_story(game, aside / _GAME)
        if not _whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            aside.rename(folder)
        except OSError:
            # Somebody who did not wait has made the same game meanwhile.
            if not _whole(folder):
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _locked(path: Path, game: str) -> Iterator[None]:
    """Holds a lock that the system gives back even if this process is killed.

    Whoever keeps it for far longer than a game takes to make is waited for no longer: at worst the game is made twice.

    Args:
        path: of the lock.
        game: what is to be made under it, for the warning.
    """
    with path.open("a+", encoding="ascii") as lock:
        until = time.monotonic() + _LOCK_SECONDS
        while not _taken(lock):
            if time.monotonic() >= until:
                lock.seek(0)
                _LOGGER.warning(
                    "the game %s: process %s has been making a game for %g s (its lock is %s) and is waited for no "
                    "longer; the game is made here.",
                    game,
                    lock.read(20).strip() or "unknown",
                    _LOCK_SECONDS,
                    path,
                )
                break
            time.sleep(0.02)
        yield


def _taken(lock: IO[str]) -> bool:
    """Takes a lock if it is free, and notes whose it is."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return True
