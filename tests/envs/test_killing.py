"""A killed process that is not gone: a debugger holds it, as the kernel holds one that hangs in it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from envs.killing import kill, signal_name
from envs.pool import process as pooled
from envs.pool.guardian import Guardian

pytestmark = pytest.mark.fault

# PTRACE_SEIZE; what is then killed stays a zombie that its parent cannot wait for, until this process has looked.
HOLD = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
print("held" if libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0 else "refused", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(pid: int) -> Iterator[None]:
    """Holds a process; the test is skipped where nothing may be held."""
    words = [sys.executable, "-c", HOLD, str(pid)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != "held\n":
            pytest.skip("this system lets no process be traced")
        yield
        holder.communicate("")


def test_a_killed_process_that_is_held_is_waited_for_no_longer_than_that(caplog: pytest.LogCaptureFixture):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with held(process.pid), caplog.at_level(logging.WARNING):
            kill(process, "the oven", seconds=0.2)
            assert process.poll() is None
        assert process.wait(60) < 0
    (record,) = caplog.records
    assert f"the oven (process {process.pid}) is still there 0.2 s after it was killed" in record.getMessage()


def test_a_killed_process_is_gone_without_a_word(caplog: pytest.LogCaptureFixture):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        kill(process, "the oven")
        assert process.returncode < 0
    assert not caplog.records


def test_every_signal_can_be_named():
    names = [signal_name(number) for number in (1, 9, 40, 63)]
    assert names == ["SIGHUP", "SIGKILL", "signal 40", "signal 63"]


def test_a_worker_that_is_held_keeps_its_pool_only_for_a_moment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pooled, "SECONDS", 0.2)
    guardian = Guardian()
    worker = pooled.WorkerProcess(guardian, 60.0)
    with held(worker.pid):
        assert worker.kill() == "cannot be ended"
    until = time.monotonic() + 60
    while os.path.exists(f"/proc/{worker.pid}") and not worker.exited() and time.monotonic() < until:
        time.sleep(0.01)
    assert worker.exited()
    guardian.close()
