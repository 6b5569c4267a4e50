"""Ending workers with all that they started, and a small process that does so when the pool's own process cannot.

A worker is a process group of its own, and its children may have groups of theirs (a world's Java process often has),
or outlive it. So every worker gets a mark in its environment, which its children inherit, and where there is a /proc
all that carry the mark are killed with the group. A child that is given another environment is out of reach.

Workers hear of the end of the pool's process by their closed connection, but not while they are stuck or stopped.
Linux's parent-death signal reaches no children either, and comes already when the *thread* that started the worker
ends. So a guardian is told of every worker over a pipe, and ends those that are left once the pipe closes, whatever
ended the pool's process. This file is run by itself, without the project's other modules: it starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

MARK = "KEYSTONE_POOL_WORKER"
_PROCESSES = Path("/proc")
# A process may start another one while the others are killed.
_MOST_SWEEPS = 10


def kill_worker(group: int, mark: str) -> None:
    """Kills what there is of a worker.

    Args:
        group: its process group.
        mark: the value of `MARK` in its environment.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    for _ in range(_MOST_SWEEPS):
        marked = _marked(f"{MARK}={mark}".encode())
        for pid in marked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not marked:
            break


def _marked(entry: bytes) -> list[int]:
    """The processes with this entry in their environment; those that have ended have none."""
    found = []
    for folder in _PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


class Guardian:
    """The pool's end of it. The process is started when there is something to watch, and again should it be gone."""

    def __init__(self) -> None:
        self._workers: dict[int, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int, mark: str) -> None:
        """Has a worker killed when this process ends.

        Raises:
            OSError: no process can be started.
        """
        self._workers[group] = mark
        self._tell(f"+ {group} {mark}\n")

    def forget(self, group: int) -> None:
        """Takes that back: the worker has ended."""
        mark = self._workers.pop(group, "")
        if self._process is not None:
            self._tell(f"- {group} {mark}\n")

    def close(self) -> None:
        """Ends the guardian; it kills what it still watches."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                # Somebody has stopped it.
                _kill(self._process)
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            try:
                os.write(self._process.stdin.fileno(), line.encode())
            except (BlockingIOError, BrokenPipeError):
                # It does not read any more: dead, or stopped for long.
                _kill(self._process)
                self._process.stdin.close()
                self._process = None
            else:
                return
        self._start()

    def _start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None
        known = "".join(f"+ {group} {mark}\n" for group, mark in self._workers.items())
        try:
            os.write(process.stdin.fileno(), known.encode())
        except BrokenPipeError:
            # It ended at once. Workers are not kept waiting for it; the next message starts it again.
            _kill(process)
            process.stdin.close()
            return
        # Later lines are short enough to be written whole or not at all.
        os.set_blocking(process.stdin.fileno(), False)
        self._process = process


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a guardian. One that the kernel does not let go is left to it: nothing waits for its last word."""
    # Not the process itself: it has none of the project's modules.
    from envs.killing import kill

    kill(process, "the guardian of a pool's workers")


def main() -> None:
    """Reads which workers there are until the pipe closes, then kills those that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    workers: dict[int, str] = {}
    for line in sys.stdin:
        sign, group, mark = line.rstrip("\n").split(" ")
        workers[int(group)] = mark
        if sign == "-":
            del workers[int(group)]
    for worker in workers.items():
        kill_worker(*worker)


if __name__ == "__main__":
    main()
