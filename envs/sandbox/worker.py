"""A sandbox's worker: a warm interpreter that forks once for every program. It runs inside the sandbox.

Its source and that of the modules it needs come through a socket, so that no file of Keystone's exists in the
sandbox. The worker itself only ever handles settings: the text of programs goes by file descriptors from the host
straight to the process that runs it, so a program finds nothing of an earlier one in the memory that it inherits.

For each program the worker forks the first process of a new process namespace with a fresh scratch folder. That
process gives up every right (mounts, capabilities, files, system calls, resources) and runs the program. When it
ends, the kernel kills whatever is left of the namespace before the worker hears of it.

Messages are lines of JSON. Host to worker: `{"load": [[name, source], ...]}`, a `Request` with file descriptors, or
`{"kill": true}` while a program runs. Each is answered once, a program when it has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import types
from typing import Any, NoReturn, cast

from envs.sandbox import kernel, program, world
from envs.sandbox.confinement import Confinement, Request, Setup

# What programs like to use is imported once, not once a program.
_WARM = [
    *("bisect", "collections", "copy", "dataclasses", "datetime", "decimal", "fractions", "functools", "heapq"),
    *("itertools", "math", "operator", "re", "statistics", "string", "traceback"),
]
_MESSAGE, _MOST_DESCRIPTORS = 1 << 16, 16


def main(control: socket.socket, setup: Setup) -> None:
    """Serves until the host hangs up.

    Args:
        control: the socket to the host.
        setup: settings.
    """
    if setup["means"] == "namespaces":
        _separate(control, setup)
    confinement = Confinement(setup) if setup["means"] != "unsafe" else None
    for name in _WARM:
        __import__(name)
    os.environ.pop("PWD", None)
    gc.collect()
    gc.freeze()
    _send(control, {"ready": True, "landlock": confinement.landlock if confinement else 0})
    while (received := _receive(control)) is not None:
        message, descriptors = received
        if "load" in message:
            for name, source in message["load"]:
                load(name, source)
            _send(control, {"loaded": True})
        elif "entry" in message:
            _run(control, cast(Request, message), descriptors, confinement)
        else:
            # Asked to kill a program that had just ended.
            _send(control, {"ignored": True})


def load(name: str, source: str) -> None:
    """Makes a module out of its source; the packages above it need not exist."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        if parent not in sys.modules:
            load(parent, "")
        setattr(sys.modules[parent], last, module)
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)


def _separate(control: socket.socket, setup: Setup) -> None:
    """Moves into namespaces of its own and goes on in a child there, the first process of its process namespace."""
    kernel.unshare("user", "mount", "process", "network", "ipc", "host name", "cgroup")
    _send(control, {"map": os.getpid()})
    answer = _receive(control)
    if answer is None:
        sys.exit(1)
    setup["user"] = answer[0]["user"]
    child = os.fork()
    if child:
        control.close()
        os.waitpid(child, 0)
        os._exit(0)
    kernel.die_with_parent()
    world.enter(setup["world"])


def _run(control: socket.socket, request: Request, descriptors: list[int], confinement: Confinement | None) -> None:
    """Runs one program to its end, or until the host hangs up or asks to kill it."""
    process = confinement.fork() if confinement else os.fork()
    if not process:
        _become_program(request, descriptors, confinement)
    for descriptor in descriptors:
        os.close(descriptor)
    ended = os.pidfd_open(process)
    # The host keeps the time; this is for a host that was stopped or forgets.
    readable = select.select([control.fileno(), ended], [], [], request["wall_seconds"] + 5.0)[0]
    asked, has_ended = control.fileno() in readable, ended in readable
    os.close(ended)
    hung_up = asked and _receive(control) is None
    status, cpu_seconds = _kill(process, confinement)
    if hung_up:
        sys.exit(0)
    _send(control, {"exit_code": status, "cpu_seconds": cpu_seconds, "killed": asked, "ended": has_ended})


def _kill(process: int, confinement: Confinement | None) -> tuple[int, float]:
    """Kills what may be left of a program and waits until it is gone. Returns its exit code and processor time."""
    if confinement is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process, signal.SIGKILL)
    # Not yet waited for, so the number cannot stand for another process. All of its namespace goes with it.
    os.kill(process, signal.SIGKILL)
    _, status, usage = os.wait4(process, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def _become_program(request: Request, descriptors: list[int], confinement: Confinement | None) -> NoReturn:
    """Gives up every right and runs the program; what fails before it is reported to the host."""
    report = descriptors.pop()
    try:
        os.setsid()
        if confinement:
            confinement.make_scratch(request)
        os.chdir(request["scratch"])
        report = _arrange(descriptors, report)
        _limit(request)
        if confinement:
            confinement.lock(request)
        os.close(report)
    except BaseException as error:
        # The boundary: the host must hear of anything that fails here, and the worker's own code is never returned to.
        os.write(report, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    program.be_program(request["entry"])


def _arrange(kept: list[int], report: int) -> int:
    """Gives file descriptors the numbers from 0 on and closes all but one more. Returns the number of that one."""
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 256) for descriptor in (*kept, report)]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number, inheritable=False)
    os.closerange(len(high), 1 << 16)
    return len(kept)


def _limit(request: Request) -> None:
    limits = {
        resource.RLIMIT_AS: request["memory"],
        resource.RLIMIT_CPU: request["cpu_seconds"],
        resource.RLIMIT_FSIZE: request["file"],
        resource.RLIMIT_NOFILE: request["open_files"],
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receives one message and the file descriptors that come with it; None where the host hung up."""
    data, descriptors = b"", []
    while not data.endswith(b"\n"):
        received, files, _, _ = socket.recv_fds(control, _MESSAGE, _MOST_DESCRIPTORS)
        if not received:
            return None
        data += received
        descriptors += files
    return json.loads(data), descriptors
