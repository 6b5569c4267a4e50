"""Levels of Sokoban from files: Boxoban's, and other collections in the same symbols.

A file holds levels one after another, separated by empty lines or lines that start with ";". A folder is searched for
`*.txt`, `*.xsb` and `*.sok` files at any depth. What the publishers put into a file's or folder's name settles its
split (`unfiltered/test/000.txt`, `medium_valid_000.txt`); the levels of other files are divided by a checksum, eight in
ten for training. The levels of a file with a published split are only counted until one of them is played.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from envs.errors import InputError, shortened
from envs.files import named_path, read_text
from envs.sokoban.board import Level, LevelError, read_level
from envs.sokoban.generator import SPLITS, split_of

_MOST_BYTES, _LONGEST_LINE = 1 << 28, 1 << 16
_ENDINGS = (".txt", ".xsb", ".sok")
_ROW = re.compile(r"[^;]*#[^;]*")
_COMMENT = re.compile(r"^\s*;.*$", re.MULTILINE)


class _Block(NamedTuple):
    """The rows of a level, and the line that they start in, counted from 1."""

    line: int
    rows: list[str]


class LevelFiles:
    """The levels of one split.

    Attributes:
        root: the folder, or the folder of the one file.
        count: how many levels there are.
        sha256: over the files of this split.
    """

    def __init__(self, data: str, split: str) -> None:
        """Finds the files.

        Args:
            data: a file or a folder.
            split: one of `SPLITS`.

        Raises:
            InputError: there are no levels of that split, or a file cannot be read.
        """
        path = named_path("data=", data)
        self.root = path if path.is_dir() else path.parent
        self._files: list[Path] = []
        self._numbers: list[list[int] | range] = []
        self._known = dict.fromkeys(_level_files(path))
        digest = hashlib.sha256()
        for file in self._known:
            published = _published_split(file, path)
            if published not in ("", split):
                continue
            content = _content(file)
            digest.update(content.encode())
            players = _COMMENT.sub("", content)
            counted = range(players.count("@") + players.count("+"))
            numbers = counted if published else _numbers_of_split(file, split)
            if numbers:
                self._files.append(file)
                self._numbers.append(numbers)
        self._ends = list(accumulate(map(len, self._numbers)))
        self.count = self._ends[-1] if self._ends else 0
        self.sha256 = digest.hexdigest()
        if not self.count:
            raise InputError(f"{data!r} has no levels of the split {split!r}. {_where_levels_are(path, self._known)}")

    def name(self, position: int) -> str:
        """Returns the name of one of the `count` levels, such as "unfiltered/test/000.txt#12"."""
        place = bisect_right(self._ends, position)
        number = self._numbers[place][position - (self._ends[place - 1] if place else 0)]
        return f"{self._files[place].relative_to(self.root).as_posix()}#{number}"

    def level(self, name: str) -> Level:
        """Returns a level by the name that `name` gives, whatever its split.

        Raises:
            InputError: there is no such level, or its file is broken.
        """
        file_name, _, number = name.rpartition("#")
        file = self.root / file_name
        if file not in self._known or not re.fullmatch("0|[1-9][0-9]{0,8}", number):
            raise InputError(f"unknown task {shortened(name)!r}. Levels here are named like {self.name(0)!r}.")
        try:
            changed = file.stat().st_mtime_ns
        except OSError as error:
            raise InputError(f"cannot read the level file {str(file)!r}: {error.strerror}.") from None
        blocks = _blocks(file, changed)
        if int(number) >= len(blocks):
            raise InputError(f"{file} has {len(blocks)} levels, numbered from 0; there is no level {number}.")
        return _level(file, blocks, int(number))


def _level_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"there is no file or folder of levels at {str(path)!r}.")
    files = sorted(file for file in path.rglob("*") if file.suffix in _ENDINGS and file.is_file())
    if not files:
        raise InputError(
            f"the folder {str(path)!r} has no level files ({', '.join('*' + ending for ending in _ENDINGS)})."
        )
    return [file for file in files if _has_levels(file)]


def _has_levels(file: Path) -> bool:
    """Whether a text file in a folder looks like levels, not like a licence or notes, whatever these are written in."""
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            lines = iter(partial(opened.readline, _LONGEST_LINE), "")
            return any(line.startswith(("##", " #")) for line in lines)
    except OSError as error:
        raise InputError(f"cannot read the level file {str(file)!r}: {error.strerror or error}.") from None


def _published_split(file: Path, data: Path) -> str:
    """Returns the split that stands in a file's name or in the folders between it and `data`; "" if none does."""
    folders = file.relative_to(data).parent.parts if data.is_dir() else (file.parent.name,)
    words = {*folders, *re.split(r"[^a-z]+", file.stem.lower())}
    return next((split for split in SPLITS if split in words), "")


def _where_levels_are(path: Path, files: Iterable[Path]) -> str:
    splits = sorted({_published_split(file, path) or "by checksum" for file in files})
    names = [split for split in splits if split in SPLITS]
    return f"Its files are of the split {' and '.join(names)}: give split={names[0]}." if names else "It has too few."


def _content(file: Path) -> str:
    return read_text(file, "level file", _MOST_BYTES)


def _numbers_of_split(file: Path, split: str) -> list[int]:
    return [number for number, level in enumerate(levels_of(file)) if split_of(level) == split]


def levels_of(file: Path) -> tuple[Level, ...]:
    """Reads all levels of a file.

    Raises:
        InputError: it cannot be read, or a level is broken; the message names the level and the line.
    """
    blocks = _blocks(file, file.stat().st_mtime_ns)
    return tuple(_level(file, blocks, number) for number in range(len(blocks)))


def _level(file: Path, blocks: Sequence[_Block], number: int) -> Level:
    try:
        return read_level(blocks[number].rows)
    except LevelError as error:
        raise InputError(f"{file}, level {number} (line {blocks[number].line}): {error}.") from None


@lru_cache(maxsize=64)
def _blocks(file: Path, modified: int) -> list[_Block]:
    """Cuts a file into levels.

    Args:
        file: its path.
        modified: when it was changed last; a changed file is another one.
    """
    del modified
    blocks: list[_Block] = []
    rows: list[str] = []
    for number, line in enumerate([*_content(file).splitlines(), ""], start=1):
        if _ROW.fullmatch(line):
            rows.append(line.rstrip())
        elif line.strip() and not line.lstrip().startswith(";"):
            raise InputError(
                f"{file}, line {number}: {shortened(line, 40)!r} is neither a row of a level nor empty nor a comment"
                " that starts with ';'."
            )
        elif rows:
            blocks.append(_Block(number - len(rows), rows))
            rows = []
    return blocks
