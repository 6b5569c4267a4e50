"""A small process that outlives the pool's own and kills the worker processes that it left behind.

Workers hear of the end of the pool's process by their closed connection, but not while they are stuck or stopped, and
their children (a world's Java process) not at all. Linux's parent-death signal reaches no children either, and comes
already when the *thread* that started the worker ends. So each worker is a process group of its own, and the guardian,
told of every group over a pipe, kills what is left once the pipe closes, whatever ended the pool's process.

This file is run by itself, without the project's other modules: a guardian starts in milliseconds. A child that leaves
its worker's process group is out of reach.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


def kill_group(group: int) -> None:
    """Kills all processes of a group, if there are any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class Guardian:
    """The pool's end of it. The process is started when there is something to watch, and again should it be gone."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Has a process group killed when this process ends.

        Raises:
            OSError: no process can be started.
        """
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Takes that back: its processes have ended."""
        self._groups.discard(group)
        if self._process is not None:
            self._tell(f"-{group}\n")

    def close(self) -> None:
        """Ends the guardian; it kills what it still watches."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                # Somebody has stopped it.
                self._process.kill()
                self._process.wait()
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            try:
                os.write(self._process.stdin.fileno(), line.encode())
            except (BlockingIOError, BrokenPipeError):
                # It does not read any more: dead, or stopped for long.
                self._process.kill()
                self._process.wait()
                self._process.stdin.close()
                self._process = None
            else:
                return
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        os.write(self._process.stdin.fileno(), "".join(f"+{group}\n" for group in sorted(self._groups)).encode())


def main() -> None:
    """Reads which groups there are until the pipe closes, then kills those that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        kill_group(group)


if __name__ == "__main__":
    main()
