"""The process that runs what may hang: it hands each call to a child of its own and kills the child at the deadline.

Run as a script with two pipes. Lines of JSON, `["module:function", arguments...]`, come in; `{"result": ...}` or
`{"failure": "..."}` goes out, or `{"fault": "..."}` if the module cannot be imported. The parent part imports the
module once and never touches an argument; children are forks of it, so that a new one after a kill costs milliseconds.
A child may use `CPU_SECONDS` of processor time for a call, `WALL_SECONDS` in all and `MEMORY_BYTES` of memory.
Processor time is what counts, so that a busy machine makes no answer wrong.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any, BinaryIO, NamedTuple

CPU_SECONDS = 3
WALL_SECONDS = 120.0
MEMORY_BYTES = 2 << 30
_PR_SET_PDEATHSIG = 1
_IDLE_SECONDS = 5.0
# A call that ends so is made once more: something else may have killed the child.
_CRASH: dict[str, Any] = {"failure": "the process that checks it ended unexpectedly"}


class _Child(NamedTuple):
    identifier: int
    requests: BinaryIO
    answers: int


def main() -> None:
    """Answers calls until the input ends or the calling process is gone."""
    caller = os.getppid()
    child: _Child | None = None
    incoming = sys.stdin.buffer
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        while not select.select([incoming], [], [], _IDLE_SECONDS)[0]:
            if os.getppid() != caller:
                return
        line = incoming.readline()
        if not line:
            return
        module = str(json.loads(line)[0]).partition(":")[0]
        if module not in sys.modules and child is not None:
            _bury(child)
            child = None
        try:
            importlib.import_module(module)
        except ImportError as error:
            sys.stdout.write(f"{json.dumps({'fault': str(error)})}\n")
            sys.stdout.flush()
            continue
        for _ in range(2):
            child = child or _fork()
            answer, alive = _ask(child, line)
            if not alive:
                _bury(child)
                child = None
            if answer != _CRASH:
                break
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _ask(child: _Child, line: bytes) -> tuple[dict[str, Any], bool]:
    """Returns the child's answer, or what went wrong, and whether the child can go on."""
    try:
        child.requests.write(line)
        child.requests.flush()
    except BrokenPipeError:
        return _CRASH, False
    deadline = time.monotonic() + WALL_SECONDS
    received = b""
    while not received.endswith(b"\n"):
        if not select.select([child.answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return {"failure": f"checking it took more than {WALL_SECONDS:g} s"}, False
        part = os.read(child.answers, 4096)
        if not part:
            return _cause(child), False
        received += part
    return json.loads(received), True


def _cause(child: _Child) -> dict[str, Any]:
    """Says why a child is gone."""
    _, status = os.waitpid(child.identifier, os.WNOHANG | os.WUNTRACED)
    for _ in range(100):
        if status:
            break
        time.sleep(0.01)
        _, status = os.waitpid(child.identifier, os.WNOHANG)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return {"failure": f"checking it took more than {CPU_SECONDS} s of processor time"}
    return _CRASH


def _bury(child: _Child) -> None:
    try:
        os.kill(child.identifier, signal.SIGKILL)
        os.waitpid(child.identifier, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    # What it was not told any more is still to be written.
    with contextlib.suppress(OSError):
        child.requests.close()
    os.close(child.answers)


def _fork() -> _Child:
    request_read, request_write = os.pipe()
    answer_read, answer_write = os.pipe()
    identifier = os.fork()
    if identifier == 0:
        os.close(request_write)
        os.close(answer_read)
        # What the libraries print must not get into the answers.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        try:
            _serve(os.fdopen(request_read, "rb"), answer_write)
        finally:
            os._exit(0)
    os.close(request_read)
    os.close(answer_write)
    return _Child(identifier, os.fdopen(request_write, "wb"), answer_read)


def _serve(requests: BinaryIO, answers: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in requests:
        name, *arguments = json.loads(line)
        module, _, function = name.partition(":")
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
        try:
            found = {"result": getattr(sys.modules[module], function)(*arguments)}
        except MemoryError:
            found = {"failure": "checking it needs too much memory"}
        except Exception as error:  # whatever a library stumbles over says that the answer cannot be read
            found = {"failure": f"it cannot be checked ({type(error).__name__})"}
        data = f"{json.dumps(found)}\n".encode()
        while data:
            data = data[os.write(answers, data) :]


if __name__ == "__main__":
    main()
