"""One worker process as its pool sees it. Nothing here waits for the worker, except for moments while it is ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import selectors
import socket
import subprocess
import sys
import time
from typing import Any

import psutil

from envs.errors import shortened
from envs.installation import python_path
from envs.killing import SECONDS, signal_name
from envs.pool.guardian import MARK, Guardian, kill_worker
from envs.pool.messages import Outcome, Reply, Request, encode, split

_CHUNK = 1 << 20
_MOST_CHUNKS = 64
_KEPT_OUTPUT = 16_000
_MOST_CHARACTERS = 300
_EXIT_SECONDS = 1.0


class WorkerProcess:
    """A worker process: started, asked one thing at a time, ended with all its children.

    A plain subprocess rather than `multiprocessing`: nothing is forked out of a process with threads, the program's
    main module is not run again in the worker, and it leads a process group of its own, which Ctrl-C at the terminal
    does not reach.

    Attributes:
        pid: of the process, and number of its process group.
        ready: whether it has started.
        deadline: when its answer, or being ready, is overdue, by `time.monotonic()`; infinite while it owes none.
        closed: whether it ended its side of the connection.
    """

    def __init__(self, guardian: Guardian, seconds: float) -> None:
        """Starts it.

        Args:
            guardian: told of it.
            seconds: time it has until it is ready.

        Raises:
            OSError: no process can be started.
        """
        self._guardian, self._mark = guardian, secrets.token_hex(16)
        self._connection, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "envs.pool.worker", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    env=_variables(self._mark),
                )
        except OSError:
            self._connection.close()
            raise
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self.pid = self._process.pid
        self.ready = self.closed = False
        self.deadline = time.monotonic() + seconds
        self._received, self._unsent, self._printed = bytearray(), bytearray(), bytearray()
        self._connection.setblocking(False)
        os.set_blocking(self._output.fileno(), False)
        try:
            guardian.watch(self.pid, self._mark)
        except OSError:
            self.kill()
            raise

    @property
    def busy(self) -> bool:
        """Whether it owes an answer, or is not ready yet."""
        return self.deadline < float("inf")

    def ask(self, place: int, request: Request, seconds: float) -> None:
        """Asks for something.

        Args:
            place: the number of the world in the worker.
            request: what for.
            seconds: time for the answer.
        """
        self._unsent += encode((place, request))
        self.deadline = time.monotonic() + seconds
        self.send()

    def register(self, selector: selectors.BaseSelector, key: Any) -> None:  # noqa: ANN401 - handed back as it is
        """Waits along for what happens here."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if not self.closed:
            selector.register(self._connection, events, key)
        if not self._output.closed:
            selector.register(self._output, selectors.EVENT_READ, key)

    def send(self) -> None:
        """Sends on what it can take."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]

    def receive(self) -> Reply | None:
        """Reads what has come; returns the reply that is owed, once it is whole.

        Raises:
            ValueError: it said something that is no reply, or when none was owed.
        """
        self._read_output()
        with contextlib.suppress(BlockingIOError):
            while not self.closed:
                try:
                    chunk = self._connection.recv(_CHUNK)
                except ConnectionError:
                    chunk = b""
                self._received += chunk
                self.closed = not chunk
        messages = split(self._received)
        if not messages:
            return None
        try:
            replies = [pickle.loads(message) for message in messages]
        except Exception as error:  # unpickling runs what the classes in it say, and may raise anything
            raise ValueError(f"said what cannot be read here ({type(error).__name__}: {error})") from error
        if len(replies) > 1 or not isinstance(replies[0], Reply) or not self.busy:
            raise ValueError("said something that it was not asked for")
        self.ready |= replies[0].outcome is Outcome.READY
        self.deadline = float("inf")
        return replies[0]

    def exited(self) -> bool:
        """Whether the process has ended; its children may still be there."""
        return self._process.poll() is not None

    def memory(self) -> int:
        """Resident bytes of the process and its children; what they share counts for each."""
        total = 0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            for each in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += each.memory_info().rss
        return total

    def last_words(self) -> str:
        """The last line that it printed; of Python's report of a crash, where that was."""
        self._read_output()
        printed = self._printed.decode(errors="replace")
        _, crashed, trace = printed.rpartition("(most recent call first):")
        lines = [line.strip() for line in (trace if crashed else printed).split("\n") if line.strip()]
        return shortened(lines[0 if crashed else -1], _MOST_CHARACTERS) if lines else ""

    def ask_to_end(self) -> None:
        """Lets it close its worlds and exit."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def kill(self, patience: float = 0.0) -> str:
        """Ends the process with all that it started.

        Args:
            patience: seconds it has to end by itself.

        Returns:
            How it ended: "was killed by SIGKILL", "exited with code 3".
        """
        limit = time.monotonic() + patience
        while not self.exited() and time.monotonic() < limit:
            # What prints must be read, or it waits for that.
            self._read_output()
            time.sleep(0.005)
        kill_worker(self.pid, self._mark)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Longer only if it hangs inside the kernel, which then ends it when it can.
            self._process.wait(SECONDS)
        self._guardian.forget(self.pid)
        self._read_output()
        self._connection.close()
        self._output.close()
        return _ending(self._process.returncode)

    def bury(self) -> str:
        """Like `kill`, for one that has closed its connection: gives it a moment to have exited."""
        return self.kill(_EXIT_SECONDS)

    def _read_output(self) -> None:
        """Reads what it printed, and keeps the end. A world's own prints belong nowhere else."""
        # One that never stops printing must not be read for ever.
        for _ in range(_MOST_CHUNKS):
            if self._output.closed:
                return
            try:
                chunk = os.read(self._output.fileno(), _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self._output.close()
            self._printed += chunk
            del self._printed[:-_KEPT_OUTPUT]


def _variables(mark: str) -> dict[str, str]:
    """The worker's environment: it finds the same modules, and leaves the other cores to the other workers."""
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": python_path(), MARK: mark}


def _ending(code: int | None) -> str:
    if code is None:
        return "cannot be ended"
    return f"exited with code {code}" if code >= 0 else f"was killed by {signal_name(-code)}"
