"""Warm workers of this process, and the choice of what confines them.

The strongest means that works here is found once, by running a program with it. Workers are kept for the next
program; at most as many programs run at a time as there are processors. Safe to use from any thread; a forked process
starts anew.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from envs.errors import InputError, unknown
from envs.sandbox.execution import Execution, watch
from envs.sandbox.launch import SandboxError, Worker, missing
from envs.sandbox.limits import Limits

MEANS = ("bubblewrap", "namespaces")
"""What confines programs, the strongest first."""
CHOICES = ("auto", *MEANS, "unsafe")
"""What the key `sandbox` takes."""
INSTALL = "apt-get install bubblewrap"

_ATTEMPTS = 2
_TRIAL_SECONDS = 60.0
MOST_AT_A_TIME = max(2, os.cpu_count() or 1)
"""Programs, or programs with their tests, that run at a time in one process."""
T = TypeVar("T")


class Pool:
    """The workers of one process."""

    def __init__(self) -> None:
        self.slots = threading.BoundedSemaphore(MOST_AT_A_TIME)
        self._lock = threading.Lock()
        self._choosing = threading.Lock()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._found: dict[str, str] = {}

    def means(self, sandbox: str) -> str:
        """See the function of this name."""
        if sandbox not in CHOICES:
            raise unknown("sandbox", sandbox, CHOICES)
        if sandbox == "unsafe" and not missing(sandbox):
            return sandbox
        problems = []
        for means in MEANS if sandbox == "auto" else (sandbox,):
            problem = self.problem(means)
            if not problem:
                return means
            problems.append(f"{means}: {problem}")
        raise InputError(
            f"programs cannot be confined here ({'; '.join(problems)}). Install bubblewrap ({INSTALL}), or give"
            " sandbox=unsafe to run them with your own rights."
        )

    def problem(self, means: str) -> str:
        """See the function of this name."""
        with self._choosing:
            if means not in self._found:
                self._found[means] = missing(means) or self._try(means)
        return self._found[means]

    @contextmanager
    def lease(self, means: str, modules: Iterable[str] = ()) -> Iterator[Worker]:
        """See the function of this name."""
        with self._lock:
            fitting = [worker for worker in self._idle if worker.means == means]
            worker = fitting[-1] if fitting else None
            if worker is not None:
                self._idle.remove(worker)
        if worker is None:
            worker = Worker(means)
            with self._lock:
                self._all.add(worker)
        kept = False
        try:
            worker.load(modules)
            yield worker
            kept = True
        finally:
            with self._lock:
                if kept:
                    self._idle.append(worker)
                else:
                    self._all.discard(worker)
            if not kept:
                worker.close()

    def close(self) -> None:
        """Ends all idle workers."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._all.difference_update(idle)
        for worker in idle:
            worker.close()

    def forget(self) -> None:
        """Lets go, in a forked process, of its parent's workers."""
        for worker in self._all:
            worker.forget()

    def _try(self, means: str) -> str:
        try:
            with self.lease(means) as worker:
                # A busy machine should not look like one without a sandbox.
                tried = Execution(worker, "print(6 * 7)", Limits(wall_seconds=_TRIAL_SECONDS))
                try:
                    watch([tried], _TRIAL_SECONDS)
                    result = tried.result()
                finally:
                    tried.close()
        except SandboxError as error:
            return str(error)
        return "" if result.stdout == "42\n" else f"a first program {result.reason} {result.stderr.strip()[-200:]}"


_pool = Pool()


def means(sandbox: str = "auto") -> str:
    """Returns the name of what would confine programs: "bubblewrap", "namespaces" or "unsafe".

    Args:
        sandbox: one of `CHOICES`.

    Raises:
        InputError: there is no such choice, or it does not work here.
    """
    return _pool.means(sandbox)


def problem(means: str) -> str:
    """Says in a few words why one of `MEANS` does not work here; "" if it does. Found out once."""
    return _pool.problem(means)


def lease(means: str, modules: Iterable[str] = ()) -> AbstractContextManager[Worker]:
    """Lends an idle worker, started if need be; one whose use fails is not lent again.

    Args:
        means: what `means` says.
        modules: of ours, for the programs to use.

    Raises:
        SandboxError: none can be started.
    """
    return _pool.lease(means, modules)


def attempt(action: Callable[[], T]) -> T:
    """Does something in the sandbox, a second time where a worker broke, in turn with other threads.

    Raises:
        SandboxError: it fails again.
    """
    with _pool.slots:
        for _ in range(_ATTEMPTS - 1):
            try:
                return action()
            except SandboxError:
                continue
        return action()


def _start_anew() -> None:
    global _pool
    _pool.forget()
    _pool = Pool()


os.register_at_fork(after_in_child=_start_anew)
atexit.register(lambda: _pool.close())
