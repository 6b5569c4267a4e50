"""Looks on while a file is read: nothing may be run, unpickled or written outside, and it may not take for ever."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from envs.errors import KeystoneError

SECONDS = 20.0
MOST_MEMORY = 2 << 30
MOST_CHARACTERS = 1500
_RUNNING = (
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen"),
    "pickle.find_class",
)
_NETWORK = ("socket.connect", "socket.getaddrinfo", "urllib.Request")
_WRITING = (
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"),
    "sqlite3.connect",
)
_state: dict[str, Any] = {"allowed": None, "seen": []}


class FindingError(AssertionError):
    """What a reader may not do with any file."""


class _LateError(BaseException):
    """No reader catches this."""


def read_watched(read: Callable[[Path], object], folder: Path, also: Path) -> str:
    """Reads a file that may be broken.

    Args:
        read: the reader; it gets the folder.
        folder: what it reads; it may write there.
        also: another place where it may write.

    Returns:
        What it refused the file with; empty if it took it.

    Raises:
        FindingError: it raised something that is no clear line, took too long or too much, or did what nobody may.
    """
    before = _peak()
    try:
        # numpy warns where it goes on with what is no number.
        with (
            _alarm(),
            _watched((folder, also)) as seen,
            warnings.catch_warnings(action="error", category=RuntimeWarning),
        ):
            read(folder)
            said = ""
    except KeystoneError as error:
        said = str(error)
    except _LateError:
        raise FindingError(f"it took more than {SECONDS:g} seconds") from None
    except MemoryError:
        raise FindingError("it ran out of memory") from None
    except Exception as error:
        raise FindingError(f"{type(error).__name__} is no clear line: {str(error)[:300]!r}") from error
    if seen:
        raise FindingError(f"it did what no file may make it do: {seen[:3]}")
    if _peak() - before > MOST_MEMORY:
        raise FindingError(f"it took {(_peak() - before) / 1e9:.1f} GB")
    line = " ".join(said.split())
    if len(line) > MOST_CHARACTERS + 4 * len(str(folder)):
        raise FindingError(f"its message has {len(line)} characters: {line[:200]}")
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        raise FindingError(f"its message cannot be printed: {line[:200]!r}") from None
    return line


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _alarm() -> Iterator[None]:
    def late(*_: object) -> None:
        raise _LateError

    began, before = time.monotonic(), signal.signal(signal.SIGALRM, late)
    left, every = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            # There is one such timer, and pytest's own limit on a test is that one.
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001), every)


@contextmanager
def _watched(allowed: tuple[Path, ...]) -> Iterator[list[str]]:
    _state["allowed"], _state["seen"] = tuple(os.path.realpath(path) for path in allowed), []
    try:
        yield _state["seen"]
    finally:
        _state["allowed"] = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook; hooks cannot be taken away again, so it is idle between reads."""
    if _state["allowed"] is None:
        return
    if event in _RUNNING or event in _NETWORK:
        _state["seen"].append(f"{event} {arguments[:1]}"[:200])
    elif event == "open":
        path, mode, flags = arguments
        by_flags = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        by_mode = isinstance(mode, str) and set(mode) & set("wax+")
        if isinstance(path, str | bytes | os.PathLike) and (by_flags or by_mode):
            _note(event, path)
    elif event in _WRITING:
        for path in arguments[:2]:
            if isinstance(path, str | bytes | os.PathLike):
                _note(event, path)


def _note(event: str, path: str | bytes | os.PathLike[Any]) -> None:
    real = os.path.realpath(os.fsdecode(path))
    inside = any(real == place or real.startswith(f"{place}/") for place in _state["allowed"])
    # Python keeps compiled modules that are imported on the way; a database may be in memory.
    if not inside and real != os.devnull and "__pycache__" not in real and path != ":memory:":
        _state["seen"].append(f"{event} {real}"[:200])


sys.addaudithook(_hook)
