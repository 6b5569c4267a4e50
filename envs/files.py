"""Files that may be broken: of bounded size, UTF-8 text, JSON; whatever is wrong with one is said in one line.

So is whatever the system says against writing one.

JSON is read strictly: no NaN, no infinity, no halves of surrogate pairs, which nothing written later could hold.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from envs.errors import InputError, KeystoneError, StorageError, shortened

MOST_BYTES = 1 << 30
"""The largest file that is read as a whole."""
_CHUNK = 1 << 20
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
        content = _beginning(path, most + 1)
    except OSError as error:
        raise InputError(f"cannot read the {what} {str(path)!r}: {error.strerror or error}.") from None
    if len(content) > most:
        raise InputError(f"cannot read the {what} {str(path)!r}: it has more than {most:,} bytes.")
    try:
        # As text files are opened: every end of a line is "\n".
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise InputError(f"the {what} {str(path)!r} is not UTF-8 text.") from None


def parse_json(text: str, source: str, *, halves: bool = False) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Reads a JSON text.

    Args:
        text: the text.
        source: what to call it in messages ("the cell runs/a.json").
        halves: lets halves of surrogate pairs pass, for who writes them out.

    Raises:
        InputError: it is not JSON, or holds what cannot be written again.
    """
    try:
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if not halves and _HALF_A_PAIR.search(text):
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


def check_empty(out: Path) -> None:
    """Makes sure that something new may be written to a folder.

    Raises:
        InputError: it is there and not empty, a file, or the system refuses its name.
    """
    check_name("out=", str(out))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out={out} exists and is not an empty folder.")


def check_writable(path: Path, key: str) -> None:
    """Makes sure that a file may be written, before the work whose result it gets.

    Args:
        path: of the file; one that is there will be replaced.
        key: what names it on the command line ("out").

    Raises:
        InputError: it is a folder, there is no folder for it, or nothing may be written there.
    """
    folder = path.absolute().parent
    if os.path.isdir(path):
        raise InputError(f"{key}={path} is a folder; a file is needed.")
    if not os.path.isdir(folder):
        raise InputError(f"{key}={path}: there is no folder {folder}.")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise InputError(f"{key}={path} cannot be written: it is read-only, or not yours.")


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


def _beginning(path: Path, most: int) -> bytearray:
    """Reads a file up to a size, in pieces: the system calls files empty that it makes up, and others may grow."""
    content = bytearray()
    with path.open("rb") as file:
        while chunk := file.read(min(_CHUNK, most - len(content))):
            content += chunk
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{shortened(digits, 20)} is too large a number")
    return number


_MOST_IN_A_NAME, _MOST_BETWEEN_SLASHES = 4000, 255
"""Bytes. Linux takes 4,095 and 255."""
_UNSPEAKABLE = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")


def check_name(what: str, name: str) -> None:
    """Refuses what cannot be a file's name, so that asking for it does not fail in the operating system's words.

    Args:
        what: what it was given as, for messages ("data=", "task").
        name: a path.

    Raises:
        InputError: it is too long, or holds control characters or halves of surrogate pairs.
    """
    parts = os.fsencode(_UNSPEAKABLE.sub("", name)).split(b"/")
    longest, whole = max(map(len, parts)), len(b"/".join(parts))
    if whole > _MOST_IN_A_NAME or longest > _MOST_BETWEEN_SLASHES or _UNSPEAKABLE.search(name):
        raise InputError(f"{what} {shortened(name)!r} cannot be the name of a file: it is too long or no plain text.")


def named_path(what: str, name: str) -> Path:
    """Returns the path that a user named, "~" being a home folder; see `check_name`.

    Raises:
        InputError: it cannot be a path, or there is no such user.
    """
    check_name(what, name)
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise InputError(f"{what} {shortened(name)!r}: there is no home folder of that name.") from None


def replace(path: Path, content: bytes) -> None:
    """Writes a file under another name beside it and renames it, so that nobody ever reads half of it.

    Raises:
        OSError: it cannot be written; then nothing is left aside.
    """
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
