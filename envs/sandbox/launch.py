"""Starts a sandbox's worker by one of the means: bubblewrap, the kernel's namespaces, or none ("unsafe").

Workers are ordinary child processes that hold one end of a socket. They end when the other end is closed, so also
when this process dies, however it dies. With root's rights programs run as the user "nobody", because the kernel does
not limit the number of root's processes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from envs.errors import KeystoneError
from envs.killing import kill
from envs.sandbox import bubblewrap, seccomp, world
from envs.sandbox.confinement import Setup

_MODULES = ("kernel", "seccomp", "world", "confinement", "program", "worker")
_START_SECONDS = 30.0
_ENVIRONMENT = {
    "HOME": world.SCRATCH,
    "LANG": "C.UTF-8",
    # Address space is limited, and a thread's own arena would take 64 MB of it.
    "MALLOC_ARENA_MAX": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}
# Reads {"modules": [[name, source], ...], "setup": {...}} from a socket, makes the modules and serves.
_BOOTSTRAP = """
import json, socket, sys, types
control = socket.socket(fileno=int(sys.argv[1]))
data = b""
while not data.endswith(b"\\n"):
    data += control.recv(1 << 16) or sys.exit(1)
told = json.loads(data)
for name, source in told["modules"]:
    module = sys.modules[name] = types.ModuleType(name)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
sys.modules["envs.sandbox.worker"].main(control, told["setup"])
"""


class SandboxError(KeystoneError, RuntimeError):
    """A sandbox could not be started, or broke."""


class Worker:
    """One worker, for one program at a time.

    Attributes:
        means: what confines it.
        process: the child process of this process that holds it.
        loaded: the modules that it has loaded on request.
    """

    def __init__(self, means: str) -> None:
        """Starts one.

        Args:
            means: "bubblewrap", "namespaces" or "unsafe".

        Raises:
            SandboxError: if it cannot be started; the message says why.
        """
        self.means = means
        self.loaded: set[str] = set()
        self._received = b""
        self._control, inner = socket.socketpair()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._control.settimeout(_START_SECONDS)
        try:
            with inner:
                self.process, user = _start(means, inner, self._said)
            self._begin(user)
        except (OSError, ValueError, SandboxError) as error:
            said = self._last_line()
            self.close()
            raise SandboxError(said or str(error)) from None

    def send(self, message: dict[str, Any], descriptors: Iterable[int] = ()) -> None:
        """Sends a message.

        Raises:
            SandboxError: the worker is gone.
        """
        try:
            data = json.dumps(message).encode() + b"\n"
            sent = socket.send_fds(self._control, [data], list(descriptors))
            self._control.sendall(data[sent:])
        except OSError as error:
            raise SandboxError(f"the sandbox's worker is gone ({error})") from None

    def receive(self) -> dict[str, Any]:
        """Receives the answer to a message.

        Raises:
            SandboxError: the worker is gone or does not answer in time.
        """
        while b"\n" not in self._received:
            try:
                received = self._control.recv(1 << 16)
            except OSError as error:
                raise SandboxError(f"the sandbox's worker does not answer ({error})") from None
            if not received:
                raise SandboxError(self._last_line() or "the sandbox's worker is gone")
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def fileno(self) -> int:
        """The file descriptor on which answers arrive."""
        return self._control.fileno()

    def load(self, modules: Iterable[str]) -> None:
        """Makes modules of ours, which need the standard library only, known to the programs of this worker."""
        missing = [name for name in modules if name not in self.loaded]
        if missing:
            self.send({"load": [[name, _source(name)] for name in missing]})
            self.receive()
            self.loaded.update(missing)

    def memory(self) -> int:
        """Returns how many bytes its programs hold now, about: what their processes have beyond the worker itself."""
        return sum(max(0, held - self._idle_memory) for held in map(_held, _descendants(self.process.pid)))

    def forget(self) -> None:
        """Closes what this process inherited of a worker of its parent's, which goes on using it."""
        self._control.close()

    def close(self) -> None:
        """Ends the worker and all that it runs."""
        self._control.close()
        process = getattr(self, "process", None)
        if process is not None:
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:
                kill(process, "the sandbox's worker")
        self._said.close()

    def _begin(self, user: int) -> None:
        setup = Setup(means=self.means, world=world.visible(), user=user)
        names = ["envs", "envs.sandbox", *(f"envs.sandbox.{name}" for name in _MODULES)]
        modules = [[name, "" if name in ("envs", "envs.sandbox") else _source(name)] for name in names]
        self.send({"modules": modules, "setup": setup})
        answer = self.receive()
        if "map" in answer:
            self.send({"user": bubblewrap.map_users(answer["map"])})
            self.receive()
        # Its forks share this with it.
        self._idle_memory = max(map(_held, [self.process.pid, *_descendants(self.process.pid)]))

    def _last_line(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def missing(means: str) -> str:
    """Says what this machine lacks for a means, as far as can be seen without trying it; "" if nothing."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if means != "unsafe" and not seccomp.supported(platform.machine()):
        return f"no list of system calls for {platform.machine()}"
    if means == "bubblewrap" and shutil.which("bwrap") is None:
        return "not installed"
    return ""


def _source(name: str) -> str:
    path = Path(__file__).parents[2].joinpath(*name.split(".")).with_suffix(".py")
    return path.read_text(encoding="utf-8")


def _start(means: str, inner: socket.socket, said: IO[bytes]) -> tuple[subprocess.Popen[bytes], int]:
    """Starts a worker's interpreter. Returns its process and the user id for programs, 0 if not yet known."""
    # No site packages, no folder of the user's, no bytecode; the environment variables below count.
    python = [world.visible()["python"], "-S", "-s", "-P", "-B", "-c", _BOOTSTRAP, str(inner.fileno())]
    if means != "bubblewrap":
        return _popen(python, [inner.fileno()], said), 0
    with bubblewrap.pipe() as (info, info_end), bubblewrap.pipe() as (block, block_end):
        arguments = [*bubblewrap.words(world.visible()), "--info-fd", str(info_end.fileno())]
        arguments += ["--userns-block-fd", str(block.fileno()), "--", *python]
        process = _popen(arguments, [inner.fileno(), info_end.fileno(), block.fileno()], said)
        try:
            info_end.close()
            told = bubblewrap.heard(info, _START_SECONDS)
            user = bubblewrap.map_users(json.loads(told)["child-pid"]) if told else 0
            block_end.write(b"1")
        except OSError:
            kill(process, "the sandbox's worker")
            raise
    return process, user


def _popen(words: list[str], descriptors: list[int], said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env=_ENVIRONMENT,
        cwd="/",
        pass_fds=descriptors,
        start_new_session=True,
    )


def _descendants(process: int) -> list[int]:
    """Lists the processes below a process; none where the system has no /proc."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            children = Path(f"/proc/{process}/task/{thread}/children").read_text()
            for child in map(int, children.split()):
                found += [child, *_descendants(child)]
    return found


def _held(process: int) -> int:
    """Returns how many bytes of memory a process holds that are not of a file on disk; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon", "RssShmem")))
