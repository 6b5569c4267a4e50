"""The lock under which a game is made: waited for while its holder works, and left alone when he keeps it too long."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.textworld import files

NAME = "coin_collector/level=3/train/0"
# Takes every lock and says so; then it is stopped, and later it goes on and ends.
HOLDER = """
import fcntl, sys
kept = [open(path, "w") for path in sys.argv[1:]]
for lock in kept:
    fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, textworld: object) -> Iterator[subprocess.Popen[str]]:
    """A process that holds all locks of a new cache and is stopped."""
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path))
    (tmp_path / "textworld").mkdir()
    locks = [str(tmp_path / "textworld" / f"lock-{number:02}") for number in range(files._NUM_LOCKS)]
    words = [sys.executable, "-c", HOLDER, *locks]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        yield process
        process.kill()


@pytest.mark.fault
def test_a_holder_that_is_stopped_is_not_waited_for_for_ever(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(files, "_LOCK_SECONDS", 0.3)
    with caplog.at_level(logging.WARNING):
        game = files.make_game(files.MadeTask(NAME))
        path = files._kept(f"made\0{NAME}", lambda: game)
    assert files._whole(path.parent)
    (record,) = caplog.records
    assert f"the game {NAME}: process unknown has been making a game for 0.3 s" in record.getMessage()
    # Who was waited for in vain goes on later and finds the game made.
    files._write(game, path.parent)
    assert files._whole(path.parent)
    assert [each for each in path.parent.parent.iterdir() if each.is_dir()] == [path.parent]


@pytest.mark.fault
def test_a_lock_names_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(files, "_LOCK_SECONDS", 0.1)
    with files._locked(tmp_path / "lock", "a"), files._locked(tmp_path / "lock", "b"):
        pass
    (record,) = caplog.records
    assert f"the game b: process {os.getpid()} has been making" in record.getMessage()
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
