"""Calls in processes: limits hold, dead and stopped processes are replaced, and forks do not share them."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import pytest

from envs.verifiers import processes
from envs.verifiers.processes import FailedCallError, call

pytestmark = pytest.mark.fault

ROOT = "math:sqrt"


def _servers() -> list[int]:
    return [server._process.pid for server in processes._pool._idle]


def _gone(identifier: int) -> bool:
    """Whether a process ends within ten seconds."""
    for _ in range(200):
        try:
            status = Path(f"/proc/{identifier}/stat").read_text()
        except OSError:
            return True
        if status.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def _children(identifier: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{identifier}/task/{identifier}/children").read_text().split()]


def test_results_and_failures():
    assert call(ROOT, 9) == 3
    assert call("json:loads", '{"a": [1, null]}') == {"a": [1, None]}
    with pytest.raises(FailedCallError, match="ValueError"):
        call(ROOT, -1)
    with pytest.raises(FailedCallError, match="AttributeError"):
        call("math:no_such_function")
    with pytest.raises(RuntimeError, match="no_such_module"):
        call("no_such_module:function")
    assert call(ROOT, 16) == 4


def test_arguments_of_any_length():
    assert call("builtins:len", "x" * 5_000_000) == 5_000_000


def test_too_much_time_and_memory():
    with pytest.raises(FailedCallError, match="processor time"):
        call("math:factorial", 10**9)
    with pytest.raises(FailedCallError, match="memory"):
        call("operator:mul", "x", 1 << 33)
    assert call(ROOT, 4) == 2


def test_a_call_that_kills_its_process():
    with pytest.raises(FailedCallError, match="ended unexpectedly"):
        call("os:abort")
    assert call(ROOT, 4) == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_dies_or_stops_is_replaced(how: signal.Signals, monkeypatch: pytest.MonkeyPatch):
    assert call(ROOT, 4) == 2
    # Other tests may have left several.
    while len(processes._pool._idle) > 1:
        processes._pool._idle.pop().close()
    before = _servers()
    families = {server: _children(server) for server in before}
    for server in before:
        os.kill(server, how)
    if how == signal.SIGSTOP:
        # Else the test would take as long as a call may.
        monkeypatch.setattr(processes, "WALL_SECONDS", 1.0)
        monkeypatch.setattr(processes, "_GRACE_SECONDS", 1.0)
    last = _servers()[-1]
    assert call(ROOT, 25) == 5
    assert last not in _servers()
    assert all(_gone(child) for child in families[last])


def test_a_server_outlives_its_child():
    assert call(ROOT, 4) == 2
    while len(processes._pool._idle) > 1:
        processes._pool._idle.pop().close()
    (server,) = _servers()
    (child,) = _children(server)
    os.kill(child, signal.SIGKILL)
    assert _gone(child)
    assert call(ROOT, 25) == 5
    assert _servers() == [server]


def test_a_fork_starts_servers_of_its_own():
    assert call(ROOT, 4) == 2
    mine = _servers()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        result = b"?"
        try:
            result = b"shared" if _servers() else str(call(ROOT, 9)).encode()
            processes._pool.close()
        finally:
            os.write(writer, result)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        assert answers.read() == b"3.0"
    os.waitpid(child, 0)
    assert _servers() == mine
    assert call(ROOT, 2) == math.sqrt(2)


def test_a_stopped_server_that_takes_no_question_is_replaced(monkeypatch: pytest.MonkeyPatch):
    assert call(ROOT, 4) == 2
    for server in _servers():
        os.kill(server, signal.SIGSTOP)
    monkeypatch.setattr(processes, "WALL_SECONDS", 2.0)
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 2.0)
    # More than a pipe holds.
    assert call("builtins:len", "x" * 1_000_000) == 1_000_000
