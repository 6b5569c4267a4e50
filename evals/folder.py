"""Reading and writing the files of one folder.

Whole files are written aside and renamed, so that a reader never meets half of one. Line files are appended to, and a
line that a kill cut off is left out. What the disk refuses is one line (`StorageError`), and nothing written before it
is lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.files import parse_json, read_json, understood, writing


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401
    """Writes a whole JSON file, and makes its folder if it is new.

    Raises:
        StorageError: one of them cannot be written.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    Folder(path.parent).write_json(path.name, content)


class _Claim:
    """A folder's lock, held as long as a `Folder` of this process keeps it."""

    def __init__(self, handle: int) -> None:
        weakref.finalize(self, os.close, handle)


_CLAIMS: weakref.WeakValueDictionary[tuple[int, int], _Claim] = weakref.WeakValueDictionary()
"""What this process has claimed, by device and inode: it may open a folder as often as it likes."""


class Folder:
    """A folder of JSON, text and line files.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._claim: _Claim | None = None

    def claim(self) -> None:
        """Makes this process the one that writes here, until it ends or its objects of the folder go.

        Raises:
            InputError: another process does already.
        """
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        status = os.fstat(handle)
        place = status.st_dev, status.st_ino
        if (held := _CLAIMS.get(place)) is not None:
            os.close(handle)
            self._claim = held
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            # A file system without locks protects nobody, but is no reason to refuse work.
            if isinstance(error, BlockingIOError):
                raise InputError(
                    f"another process is writing {self.path}. Wait until it has ended, or choose another folder."
                ) from None
            return
        self._claim = _CLAIMS[place] = _Claim(handle)

    def __truediv__(self, name: str) -> Path:
        """The path of a file in the folder."""
        return self.path / name

    def write_json(self, name: str, content: Any) -> None:  # noqa: ANN401
        """Writes a whole JSON file."""
        self.write_text(name, json.dumps(content, indent=2, sort_keys=False, allow_nan=False) + "\n")

    def write_text(self, name: str, content: str) -> None:
        """Writes a whole text file."""
        aside = self.path / f"{name}.part"
        with writing(self.path / name):
            try:
                aside.write_text(content, encoding="utf-8")
                os.replace(aside, self.path / name)
            except OSError:
                with suppress(OSError):
                    aside.unlink()
                raise

    def read_json(self, name: str) -> Any:  # noqa: ANN401
        """Reads a JSON file; None if it is not there."""
        path = self.path / name
        return read_json(path) if path.is_file() else None

    def append(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Appends rows to a line file."""
        with writing(self.path / name), (self.path / name).open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, allow_nan=False) + "\n")

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Reads a line file; a last line that a kill cut off is left out.

        Raises:
            InputError: another line is broken.
        """
        path = self.path / name
        if not path.is_file():
            return
        # A kill can cut a character in two; `splitlines` would also split at characters that may stand in a text.
        *whole, last = path.read_bytes().split(b"\n")
        for number, line in enumerate([*whole, last], 1):
            cut = number > len(whole)
            if line.strip():
                try:
                    row = parse_json(line.decode("utf-8"), f"{path}, line {number},")
                    if not isinstance(row, dict):
                        raise InputError(f"{path}, line {number}, is no JSON object.")
                except (InputError, UnicodeDecodeError):
                    if cut:
                        return
                    raise InputError(f"{path}, line {number}, is broken: delete the line or the folder.") from None
                yield row

    def keep(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrites a line file with the wanted rows only: what a resumed run will write again goes."""
        with understood(self.path / name, "a file of rows"):
            kept = [row for row in self.rows(name) if wanted(row)]
        self.write_rows(name, kept)

    def write_rows(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Writes a whole line file."""
        self.write_text(name, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
