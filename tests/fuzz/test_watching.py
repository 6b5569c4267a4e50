"""The fuzzer's watcher notices what no reader may do, and takes nothing from whoever limits the test."""

from __future__ import annotations

import pickle
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envs.errors import InputError
from tests.fuzz import watching
from tests.fuzz.mutations import PICKLED
from tests.fuzz.watching import FindingError, read_watched


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Callable[[Path], object]], str]:
    """Reads with a reader that may write into "files" and "also"."""
    for name in ("files", "also"):
        (tmp_path / name).mkdir()
    return lambda reader: read_watched(reader, tmp_path / "files", tmp_path / "also")


def run_program(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def write_outside(folder: Path) -> None:
    (folder.parent / "outside").write_text("")


def make_a_folder_outside(folder: Path) -> None:
    (folder / ".." / "outside").mkdir()


def make_a_database_outside(folder: Path) -> None:
    sqlite3.connect(folder.parent / "outside.sqlite").close()


def connect(folder: Path) -> None:
    with socket.socket() as closed, socket.socket() as client:
        closed.bind(("127.0.0.1", 0))
        client.connect_ex(closed.getsockname())


def unpickle(folder: Path) -> None:
    """Which ends well: what was pickled is a function."""
    pickle.loads(PICKLED)


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (run_program, "subprocess.Popen"),
        (write_outside, "open .*/outside"),
        (make_a_folder_outside, "os.mkdir .*/outside"),
        (make_a_database_outside, "sqlite3.connect .*/outside.sqlite"),
        (connect, "socket.connect"),
        (unpickle, "pickle.find_class"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("refusing", [False, True])
def test_what_nobody_may_do_is_seen(read, reader: Callable[[Path], None], said: str, refusing: bool):
    """Also of a reader that refuses the file afterwards."""

    def evil(folder: Path) -> None:
        reader(folder)
        if refusing:
            raise InputError("no.")

    with pytest.raises(FindingError, match=f"did what no file may make it do: .*{said}"):
        read(evil)


def hang(folder: Path) -> None:
    """For ever, whatever is raised in it short of what the watcher raises."""
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue


def test_a_reader_that_hangs_is_ended(read, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watching, "SECONDS", 0.05)
    with pytest.raises(FindingError, match="took more than"):
        read(hang)


def refuse(line: str) -> Callable[[Path], None]:
    def reader(folder: Path) -> None:
        raise InputError(line)

    return reader


def break_down(folder: Path) -> None:
    raise RecursionError("maximum recursion depth exceeded")


def run_out_of_memory(folder: Path) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (break_down, "RecursionError is no clear line"),
        (run_out_of_memory, "ran out of memory"),
        (refuse("x" * 10_000), "its message has 10000 characters"),
        (refuse("\ud800"), "its message cannot be printed"),
    ],
)
def test_what_is_no_clear_line_is_seen(read, reader: Callable[[Path], None], said: str):
    with pytest.raises(FindingError, match=said):
        read(reader)


def test_what_is_allowed_is_no_finding(read):
    def write_inside(folder: Path) -> None:
        (folder / "page.html").write_text("")
        (folder.parent / "also" / "cache").mkdir()
        sqlite3.connect(":memory:").close()

    assert read(write_inside) == ""
    assert read(refuse("it is\nno delta.")) == "it is no delta."


def test_a_limit_on_the_test_goes_on(read):
    """There is one such timer in a process."""
    rung: list[int] = []
    previous, timer = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number)), signal.ITIMER_REAL
    left = signal.setitimer(timer, 100, 7)
    try:
        assert read(refuse("no.")) == "no."
        now, every = signal.getitimer(timer)
        assert 50 < now < 100
        assert every == 7
        # Of a limit that passed in the meantime one hears at once.
        signal.setitimer(timer, 0.02)
        assert read(lambda folder: [sum(range(1000)) for _ in range(5000)]) == ""
        until = time.monotonic() + 60
        while not rung and time.monotonic() < until:
            signal.sigtimedwait([], 0.01)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(timer, *left)
        signal.signal(signal.SIGALRM, previous)
