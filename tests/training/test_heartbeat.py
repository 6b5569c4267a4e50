"""Processes that wait for one another: one that is stopped is noticed and named, one that plays for long is not.

`torchrun ... -m tests.training.test_heartbeat HOW` is what the two processes run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from envs.errors import KeystoneError
from envs.installation import REPOSITORY
from training import heartbeat, processes
from training.endings import told
from training.heartbeat import Heartbeat
from training.processes import joined

pytestmark = pytest.mark.fault

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
SILENCE = 3.0


class Late:
    """A store that lets its caller wait in torch's own code, as one on a busy machine does."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name == "set":
            with suppress(RuntimeError):
                self._store.wait(["what nobody says"], timedelta(seconds=random.uniform(0.05, 0.3)))
        return getattr(self._store, name)


def play(how: str) -> None:
    """Process 1 plays for long, or is stopped; process 0 waits for its word. Or both end while the store is late."""
    heartbeat.SECONDS, heartbeat._EVERY = SILENCE, 0.2
    if how == "late":
        heartbeat._EVERY = 1e-9
        processes.Heartbeat = lambda store, *rest: Heartbeat(Late(store), *rest)
    try:
        with told(Path("runs/it")), joined("cpu") as both:
            assert both.gather(both.rank) == [0, 1]
            if how != "late" and both.rank == 1:
                if how == "plays":
                    threading.Event().wait(2 * SILENCE)
                else:
                    Path(how).write_text(str(os.getpid()), encoding="ascii")
                    os.kill(os.getpid(), signal.SIGSTOP)
            assert both.gather("played") == ["played"] * 2
    except KeystoneError as error:
        print(f"process {os.environ['RANK']} says: {error}", flush=True)
        # The launcher would wait half a minute until it kills one that is stopped.
        os.kill(int(Path(how).read_text(encoding="ascii")), signal.SIGKILL)
        sys.exit(1)


def run(how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LAUNCH, "tests.training.test_heartbeat", how],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.mark.timeout(300)
def test_a_process_that_plays_for_long_is_waited_for():
    done = run("plays")
    assert done.returncode == 0, done.stderr
    assert "says" not in done.stdout


@pytest.mark.timeout(300)
def test_a_process_that_is_stopped_ends_the_others_with_its_name(tmp_path: Path):
    done = run(str(tmp_path / "pid"))
    assert done.returncode != 0
    stopped = (tmp_path / "pid").read_text(encoding="ascii")
    (line,) = [line for line in done.stdout.splitlines() if "says" in line]
    assert line.startswith(f"process 0 says: process 1 (pid {stopped} on ")
    assert f"has not been heard of for {SILENCE:g} s, and process 0 waits for its part of the work" in line
    assert line.endswith("go on with: python -m training.run resume=runs/it")


@pytest.mark.timeout(300)
def test_a_process_that_ends_while_its_store_is_late_is_not_aborted():
    done = run("late")
    assert done.returncode == 0, done.stderr


class SlowStore:
    """A store that answers late, as on a busy machine, and says when it was asked and when it has answered."""

    def __init__(self) -> None:
        self.asked, self.answered = threading.Event(), threading.Event()

    def set(self, name: str, value: str) -> None:
        self.asked.set()
        time.sleep(0.5)
        self.answered.set()

    def check(self, names: list[str]) -> bool:
        return False


@pytest.mark.parametrize("end", [Heartbeat.close, Heartbeat._leave], ids=["closed", "at exit"])
def test_no_thread_is_left_in_the_store_when_a_process_ends(end: Callable[[Heartbeat], None]):
    # Python that shuts down aborts (SIGABRT) when a thread comes back from a call of torch's, and the launcher then
    # ends all other processes.
    store = SlowStore()
    heart = Heartbeat(store, 0, 2)
    assert store.asked.wait(10)
    end(heart)
    assert store.answered.is_set()
    assert not heart._speaker.is_alive()
    heart.close()


if __name__ == "__main__":
    play(sys.argv[1])
