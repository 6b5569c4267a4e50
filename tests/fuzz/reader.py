"""What a reader of files is to the fuzzer: what writes valid files, and what reads them as Keystone does."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        name: what it reads.
        write: makes valid files in an empty folder.
        read: reads them.
        needs: a package that it cannot do without.
        only: patterns of the names of the files to break.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    needs: str = ""
    only: tuple[str, ...] = ("*",)

    def contents(self, folder: Path) -> dict[str, bytes]:
        """Writes valid files and returns what they hold, by name."""
        self.write(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def breaks(self, name: str) -> bool:
        """Whether a file is one of those to break."""
        return any(fnmatch(name, pattern) for pattern in self.only)

    @property
    def missing(self) -> bool:
        """Whether its package is not installed."""
        return bool(self.needs) and importlib.util.find_spec(self.needs) is None


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_lines(path: Path, rows: list[Any]) -> None:
    """Writes a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def printable(*texts: str) -> None:
    """What is read goes to tokenizers, terminals and files, which take UTF-8."""
    for text in texts:
        text.encode("utf-8")
