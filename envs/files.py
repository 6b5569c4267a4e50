"""Files that may be broken: of bounded size, UTF-8 text, JSON; whatever is wrong with one is said in one line.

JSON is read strictly: no NaN, no infinity, no halves of surrogate pairs, which nothing written later could hold.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from envs.errors import InputError, KeystoneError, StorageError, first_line, shortened

MOST_BYTES = 1 << 30
"""The largest file that is read as a whole."""
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: Path, what: str = "file", most: int = MOST_BYTES) -> str:
    """Reads a text file.

    Args:
        path: of an ordinary file; what is something else (a folder, a pipe, a device) is not opened.
        what: what it should be, for messages ("configuration file").
        most: its largest size, in bytes.

    Raises:
        InputError: it cannot be read, is larger, or is not UTF-8.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"cannot read the {what} {str(path)!r}: it is not an ordinary file.")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise InputError(f"cannot read the {what} {str(path)!r}: {error.strerror or error}.") from None
    if len(content) > most:
        raise InputError(f"cannot read the {what} {str(path)!r}: it has more than {most:,} bytes.")
    try:
        # As text files are opened: every end of a line is "\n".
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise InputError(f"the {what} {str(path)!r} is not UTF-8 text.") from None


def parse_json(text: str, source: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Reads a JSON text.

    Args:
        text: the text.
        source: what to call it in messages ("the cell runs/a.json").

    Raises:
        InputError: it is not JSON, or holds what cannot be written again.
    """
    try:
        content = json.loads(text, parse_constant=_refuse)
        if _HALF_A_PAIR.search(text):
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid JSON ({shortened(str(error))}).") from None
    return content


def read_json(path: Path, what: str = "file", most: int = MOST_BYTES) -> Any:  # noqa: ANN401
    """Reads a JSON file; see `read_text`.

    Raises:
        InputError: it cannot be read or is not JSON.
    """
    return parse_json(read_text(path, what, most), f"the {what} {str(path)!r}")


def expanded(path: str | Path) -> Path:
    """A path with ~ written out; one of a person who is not known here stays as it is, and nothing is there."""
    return Path(os.path.expanduser(path))


def is_folder(path: str | Path) -> bool:
    """Whether a path, in which ~ is a person's own folder, is that of a folder; one that the system refuses is not."""
    try:
        return expanded(path).is_dir()
    except (OSError, ValueError):
        return False


def check_name(out: Path) -> None:
    """Makes sure that the system takes a name, of something that need not be there yet.

    Raises:
        InputError: it does not.
    """
    try:
        out.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or first_line(error)
        raise InputError(f"out={shortened(str(out), 200)} cannot be used: {why}.") from None


def check_empty(out: Path) -> None:
    """Makes sure that something new may be written to a folder.

    Raises:
        InputError: it is there and not empty, a file, or the system refuses its name.
    """
    check_name(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out={out} exists and is not an empty folder.")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says against writing a file into one line.

    Raises:
        StorageError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}.") from error


@contextmanager
def understood(source: object, what: str) -> Iterator[None]:
    """Turns what goes wrong in taking a file's content apart into one line about the file.

    Args:
        source: the file.
        what: what it should be, with its article ("a study's cell").

    Raises:
        InputError: something in it is missing or of another kind than it should be.
    """
    try:
        yield
    except KeystoneError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {shortened(' '.join(str(error).split()), 200)}"
        line = f"{source} is not {what} as Keystone writes it ({said})."
        raise InputError(line.encode("utf-8", "backslashreplace").decode()) from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
