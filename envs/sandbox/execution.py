"""Programs that run in workers, watched from outside: time, memory, output, and how they ended."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack

from envs.killing import signal_name
from envs.sandbox.confinement import Request
from envs.sandbox.launch import SandboxError, Worker
from envs.sandbox.limits import Limits, SandboxResult, Status
from envs.sandbox.world import SCRATCH

_CHUNK = 1 << 16
_LOOK_SECONDS = 0.02
_KILL_SECONDS = 10.0
_MEGABYTE = 1 << 20


class Execution:
    """One program on its way through a worker.

    Attributes:
        worker: runs it.
        streams: what it has written so far, by the file descriptor that it is read from.
        broken_limit: the limit for which it was killed; None if there is no such one.
        finished: whether it has ended and nothing of it is left.
        dismissed: whether it was still at work when it was killed, and for no broken limit: how it then ended says
            nothing of it.
    """

    def __init__(
        self,
        worker: Worker,
        program: str,
        limits: Limits,
        *,
        stdin: str = "",
        entry: str = "",
        own: Sequence[int] = (),
        results: int | None = None,
    ) -> None:
        """Starts a program.

        Args:
            worker: an idle worker.
            program: its text.
            limits: what it may use.
            stdin: its standard input.
            entry: a module of ours, loaded into the worker, whose `main(program)` is called instead of the program.
            own: file descriptors that it gets beside the standard ones, from number 4 on.
            results: how many bytes it may write to a further file descriptor after those; None for no such one.

        Raises:
            SandboxError: the worker is gone.
        """
        self.worker = worker
        self.streams: dict[int, bytearray] = {}
        self.broken_limit: Status | None = None
        self.finished = False
        self.dismissed = False
        self._limits = limits
        self._rooms: dict[int, int] = {}
        self._asked_to_kill = False
        self._begun = time.monotonic()
        self._seconds = 0.0
        self._exit_code = 0
        self._cpu_seconds = 0.0
        self._open = ExitStack()
        self._scratch = SCRATCH
        try:
            self._start(program, stdin, entry, own, results)
        except BaseException:
            self.close()
            raise

    def read(self, stream: int) -> bool:
        """Takes what a stream has to say, up to its limit. Returns whether there may be more later."""
        while True:
            try:
                data = os.read(stream, _CHUNK)
            except BlockingIOError:
                return True
            space = self._rooms[stream] - len(self.streams[stream])
            self.streams[stream] += data[:space]
            if len(data) > space:
                self.kill("output")
            if not data or len(data) > space:
                return False

    def kill(self, broken_limit: Status | None) -> None:
        """Notes the limit that the program broke, if any, and asks the worker to kill it and all that it started."""
        self.broken_limit = self.broken_limit or broken_limit
        if not self._asked_to_kill and not self.finished:
            self._asked_to_kill = True
            self.worker.send({"kill": True})

    def look(self) -> None:
        """Kills the program if its processes hold too much memory together."""
        if self.worker.memory() > self._limits.memory_mb * _MEGABYTE:
            self.kill("memory")

    def finish(self) -> None:
        """Takes the worker's word that the program has ended, and the rest of what it wrote.

        Raises:
            SandboxError: the worker is gone.
        """
        answer = self.worker.receive()
        if self._asked_to_kill and not answer["killed"]:
            # The request came too late and is answered by itself.
            self.worker.receive()
        self._seconds = time.monotonic() - self._begun
        self._exit_code, self._cpu_seconds = int(answer["exit_code"]), float(answer["cpu_seconds"])
        self.finished = True
        for stream in self.streams:
            self.read(stream)
        self.dismissed = answer["killed"] and not answer["ended"] and self.broken_limit is None

    def text(self, stream: int) -> str:
        """Returns what a stream said, as text."""
        return self.streams[stream].decode(errors="replace")

    def result(self) -> SandboxResult:
        """Says how the program ended.

        Raises:
            SandboxError: it could not even be started.
        """
        if trouble := self.text(self._report):
            raise SandboxError(f"a program could not be confined ({trouble})")
        status, reason = self._ending()
        texts = self.text(self._stdout), self.text(self._stderr)
        return SandboxResult(status, reason, *texts, self._exit_code, self._seconds, self.worker.means)

    def close(self) -> None:
        """Lets go of everything but the worker."""
        self._open.close()

    def _start(self, program: str, stdin: str, entry: str, own: Sequence[int], results: int | None) -> None:
        """Opens the streams and hands their other ends to the worker."""
        with ExitStack() as given:
            source, asked = (_holding(text, given) for text in (program, stdin))
            room = self._limits.output_kb * 1024
            self._stdout, stdout = self._stream(room, given)
            self._stderr, stderr = self._stream(room, given)
            self._report, report = self._stream(_CHUNK, given)
            further = [] if results is None else [self._stream(results, given)]
            self.results = further[0][0] if further else -1
            descriptors = [asked, stdout, stderr, source, *own, *(end for _, end in further), report]
            self.worker.send(dict(self._request(entry)), descriptors)

    def _ending(self) -> tuple[Status, str]:
        limits, code = self._limits, self._exit_code
        if self.broken_limit is not None:
            words = {
                "time": f"killed after {limits.wall_seconds:g} s",
                "memory": f"killed for holding more than {limits.memory_mb} MB",
                "output": f"killed for writing more than {limits.output_kb} KB",
            }
            return self.broken_limit, words[self.broken_limit]
        if code == 0:
            return "ok", "ended with exit code 0"
        if code > 0:
            return "error", f"ended with exit code {code}"
        # The kernel kills by one way of counting and reports another; on a busy machine they lie some tenths apart.
        if code == -signal.SIGKILL and self._cpu_seconds >= limits.cpu_seconds / 2:
            return "processor time", f"killed after {limits.cpu_seconds} s of processor time"
        return "signal", f"ended by {signal_name(-code)}"

    def _request(self, entry: str) -> Request:
        if self.worker.means == "unsafe":
            self._scratch = self._open.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        limits = self._limits
        return Request(
            entry=entry,
            scratch=self._scratch,
            wall_seconds=limits.wall_seconds,
            cpu_seconds=limits.cpu_seconds,
            memory=limits.memory_mb * _MEGABYTE,
            disk=limits.disk_mb * _MEGABYTE,
            file=limits.file_mb * _MEGABYTE,
            processes=limits.processes,
            open_files=limits.open_files,
        )

    def _stream(self, room: int, given: ExitStack) -> tuple[int, int]:
        read, write = os.pipe()
        given.callback(os.close, write)
        self._open.callback(os.close, read)
        os.set_blocking(read, False)
        self.streams[read] = bytearray()
        self._rooms[read] = room
        return read, write


def watch(executions: Sequence[Execution], wall_seconds: float) -> None:
    """Watches programs that run together until the first has ended; then the others are killed.

    Args:
        executions: the programs; each is finished afterwards.
        wall_seconds: after which all are killed.

    Raises:
        SandboxError: a worker is gone.
    """
    with selectors.DefaultSelector() as selector:
        for execution in executions:
            selector.register(execution.worker, selectors.EVENT_READ, execution)
            for stream in execution.streams:
                selector.register(stream, selectors.EVENT_READ, execution)
        _attend_all(selector, executions, time.monotonic() + wall_seconds)


def _attend_all(selector: selectors.BaseSelector, executions: Sequence[Execution], deadline: float) -> None:
    next_look = time.monotonic() + _LOOK_SECONDS
    killing = False
    running = list(executions)
    while running:
        for key, _ in selector.select(max(0.0, min(deadline, next_look) - time.monotonic())):
            if not _attend(key.data, key.fileobj):
                selector.unregister(key.fileobj)
        now = time.monotonic()
        if killing and now >= deadline:
            raise SandboxError("the sandbox's worker does not end a program")
        running = [execution for execution in executions if not execution.finished]
        if not killing and (now >= deadline or executions[0].finished):
            for execution in running:
                execution.kill("time" if now >= deadline else None)
            killing, deadline = True, now + _KILL_SECONDS
        if now >= next_look:
            next_look = now + _LOOK_SECONDS
            for execution in running:
                execution.look()


def _attend(execution: Execution, source: object) -> bool:
    """Deals with one thing that can be read. Returns whether there may be more."""
    if isinstance(source, int):
        return execution.read(source)
    execution.finish()
    return False


def _holding(text: str, given: ExitStack) -> int:
    """Opens a file of no folder that holds a text, to be read from its start."""
    descriptor = os.memfd_create("text", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    given.callback(os.close, descriptor)
    left = memoryview(text.encode(errors="replace"))
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    # What a program wrote to it would be memory that counts for nobody.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return descriptor
