"""However the program with the pool ends, its workers and their children end too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.fault

ROOT = Path(__file__).parents[3]
PATIENCE = 20.0


class Session:
    """The program, and all processes that it has started."""

    def __init__(self, folder: Path, then: str) -> None:
        command = [sys.executable, "-m", "tests.envs.pool.session", str(folder), then]
        pipe = subprocess.PIPE
        # A process group of its own, as a shell gives it: what Ctrl-C reaches.
        self.program = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0
        )
        assert self.program.stdout is not None
        self.workers = [int(pid) for pid in self.program.stdout.readline().split()]
        self.children = [int(path.name.partition("-")[2]) for path in folder.glob("child-*")]
        assert (len(self.workers), len(self.children)) == (2, 2)

    def left(self) -> list[int]:
        """What still runs of it once it has ended, after waiting for that."""
        self.program.communicate(timeout=PATIENCE)
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            left = [pid for pid in (*self.workers, *self.children) if running(pid)]
            if not left:
                break
            time.sleep(0.05)
        return left


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_program_that_ends_without_closing_its_pool(tmp_path: Path):
    session = Session(tmp_path, "leave")
    assert session.left() == []
    assert session.program.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_is_ended_while_a_worker_is_stopped(number: signal.Signals, tmp_path: Path):
    session = Session(tmp_path, "wait")
    stopped, other = session.workers
    os.kill(stopped, signal.SIGSTOP)
    assert session.program.stdin is not None
    session.program.stdin.write("\n")
    session.program.stdin.flush()
    limit = time.monotonic() + PATIENCE
    # The other world has been stepped: the program asks both, and cannot come back from that.
    while not (tmp_path / f"stepped-{other}").exists():
        assert session.program.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert not (tmp_path / f"stepped-{stopped}").exists()
    os.killpg(session.program.pid, number)
    assert session.left() == []


def test_a_worker_that_is_killed_takes_its_children_along(tmp_path: Path):
    session = Session(tmp_path, "wait")
    os.kill(session.workers[0], signal.SIGKILL)
    _, said = session.program.communicate("\n", timeout=PATIENCE)
    assert session.program.returncode == 0
    assert f"worker 0 (pid {session.workers[0]}), tests.envs.pool.troubled:Troubled, task train-0, turn 1" in said
    assert session.left() == []


def test_workers_outlive_the_thread_that_started_them(tmp_path: Path):
    session = Session(tmp_path, "thread")
    said, _ = session.program.communicate("\n", timeout=PATIENCE)
    assert said == "workers: 0 restarted, 0 replaced for their memory; episodes: 0 begun again, 0 ended as an error\n"
    assert session.left() == []
