"""Calls in processes that can be killed: the calling side of `process_server`.

There are a few servers, shared by all threads and replaced when they die. Nothing here depends on signals or on the
main thread. A process that forks leaves the servers to its parent.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from envs.installation import python_path
from envs.killing import kill
from envs.verifiers.process_server import WALL_SECONDS

_SCRIPT = Path(__file__).with_name("process_server.py")
_GRACE_SECONDS = 10.0
_START_SECONDS = 120.0


class _Server:
    """One server process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            # Libraries of linear algebra reserve memory for each thread.
            env={**os.environ, "PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        if self._line(_START_SECONDS) != b"ready\n":
            self.close()
            raise RuntimeError(f"the process that checks answers did not start within {_START_SECONDS:g} s.")

    def ask(self, request: bytes) -> dict[str, Any] | None:
        """Returns the server's answer, or None if it died or is stuck."""
        assert self._process.stdin is not None
        deadline = time.monotonic() + WALL_SECONDS + _GRACE_SECONDS
        try:
            # More than a pipe holds is written in parts; one that does not read must not be waited for.
            left = memoryview(request)
            while left:
                if not select.select([], [self._process.stdin], [], max(0.0, deadline - time.monotonic()))[1]:
                    return None
                left = left[self._process.stdin.write(left) or 0 :]
        except BrokenPipeError:
            return None
        line = self._line(deadline - time.monotonic())
        return dict(json.loads(line)) if line else None

    def close(self) -> None:
        """Kills the server; its child dies with it."""
        kill(self._process, "the process that checks answers")
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _line(self, seconds: float) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        received = b""
        while not received.endswith(b"\n"):
            ready = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
            part = os.read(self._process.stdout.fileno(), 4096) if ready else b""
            if not part:
                return b""
            received += part
        return received


class _Pool:
    """The servers that are idle, at most one for each core in all."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(max(1, min(8, os.cpu_count() or 1)))
        self._lock = threading.Lock()
        self._idle: list[_Server] = []

    def ask(self, request: bytes) -> dict[str, Any]:
        with self._places:
            for attempt in range(2):
                with self._lock:
                    # The second time a new one: whatever killed the first may have killed all.
                    server = self._idle.pop() if self._idle and attempt == 0 else None
                server = server or _Server()
                try:
                    found = server.ask(request)
                except BaseException:
                    server.close()
                    raise
                if found is not None:
                    with self._lock:
                        self._idle.append(server)
                    return found
                server.close()
            return {"failure": "the process that checks it died or gave no answer, twice"}

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for server in idle:
            server.close()


_pool = _Pool()


def _forget() -> None:
    """In a forked child: the servers belong to the parent."""
    global _pool
    _pool = _Pool()


os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: _pool.close())


class FailedCallError(Exception):
    """The call gave no result; the message says why: too slow, too much memory, an exception, a crash."""


def call(function: str, *arguments: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Calls a function in another process, with limits on time and memory.

    Args:
        function: "module:function"; the module must be trusted, the arguments need not be.
        *arguments: what JSON can hold.

    Returns:
        What the function returned, as JSON has it.

    Raises:
        FailedCallError: there is no result.
        RuntimeError: no process can be started or the module cannot be imported: a fault of the installation, not of
            an answer.
    """
    answer = _pool.ask(f"{json.dumps([function, *arguments])}\n".encode())
    if "fault" in answer:
        raise RuntimeError(f"{function} cannot be called: {answer['fault']}")
    if "failure" in answer:
        raise FailedCallError(answer["failure"])
    return answer["result"]
