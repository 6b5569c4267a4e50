"""Commands in processes that are copies of one that has imported PyTorch and the rest: the same programs, sooner begun.

`python -m training.run` imports for seconds before it does anything, which most tests of what it does need not wait for
each time. A copy differs from a fresh interpreter in what was imported, and so do not use this for what a command does
before it works: which modules it loads, what is read from the environment then, tracing, clocks put in from outside.
"""

from __future__ import annotations

import atexit
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from pathlib import Path

from envs.installation import REPOSITORY

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded"])
_STARTED: list[BaseProcess] = []


class Forked:
    """A command in a process and a session of its own, used as `subprocess.Popen` is.

    Args:
        module: what is run, for example `training.run`.
        words: its arguments.
        out: the file for what it prints.
        err: the file for what it complains of; may be the same.
        env: its whole environment.
        cwd: the folder it works in.
        limits: resource limits, by number.

    Attributes:
        pid: its process.
        returncode: its exit code, or minus the number of the signal that ended it; None while it runs.
    """

    def __init__(
        self,
        module: str,
        words: Sequence[str],
        out: Path,
        err: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = REPOSITORY,
        limits: Mapping[int, int] | None = None,
    ) -> None:
        given = dict(os.environ if env is None else env)
        arguments = (module, list(words), str(out), str(err), given, str(cwd), dict(limits or {}))
        self._process = _CONTEXT.Process(target=_become, args=arguments)
        self._process.start()
        _STARTED[:] = [process for process in _STARTED if process.exitcode is None] + [self._process]
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not by then.
        """
        if not wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired("forked", timeout or 0.0)
        self._process.join()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def kill_group(self) -> None:
        """Kills it with all of its session that is in its process group, if it still runs."""
        _kill_group(self._process)


def _kill_group(process: BaseProcess) -> None:
    if process.exitcode is None:
        # No group of that number yet: it has only just been forked.
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()


def _leave_nothing() -> None:
    for process in _STARTED:
        _kill_group(process)


# What a test that failed has left running, or stopped: at the interpreter's end `multiprocessing` waits for it without
# a limit, after it has called this.
Finalize(None, _leave_nothing, exitpriority=0)


def run(
    module: str, *words: str, env: Mapping[str, str] | None = None, timeout: float = 600.0
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end.

    Args:
        module: what is run.
        words: its arguments.
        env: its whole environment.
        timeout: seconds after which it is killed.

    Raises:
        subprocess.TimeoutExpired: it was.
    """
    with tempfile.TemporaryDirectory(prefix="keystone-forked-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = Forked(module, words, out, err, env)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess([module, *words], code, out.read_text(), err.read_text())


def _become(
    module: str, words: list[str], out: str, err: str, env: dict[str, str], cwd: str, limits: dict[int, int]
) -> None:
    """Makes this process what `python -m module words` would be, and runs it."""
    os.setsid()
    for number, name, mode in ((0, os.devnull, os.O_RDONLY), (1, out, _WRITE), (2, err, _WRITE)):
        file = os.open(name, mode, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    if threads := env.get("OMP_NUM_THREADS"):
        import torch

        # It was read when PyTorch was imported, in the process that this one is a copy of.
        torch.set_num_threads(int(threads))
    os.chdir(cwd)
    sys.path.insert(0, cwd)
    sys.argv = [module, *words]
    # A shell's background job ignores Ctrl-C, and so would all below it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, value in limits.items():
        resource.setrlimit(number, (value, value))
    # It is run, not imported.
    sys.modules.pop(module, None)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # Processes of multiprocessing end without them.
        atexit._run_exitfuncs()
