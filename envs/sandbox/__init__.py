"""Runs Python programs that nobody trusts.

A program gets no network, no file but Python's own library and a fresh scratch folder, no environment variables, no
sight of other processes, and limits on time, memory, processes, files and output (`Limits`). What confines it is the
strongest means that works here:

- "bubblewrap": namespaces made by bubblewrap (`bwrap`), a read-only root with almost nothing in it;
- "namespaces": the same namespaces made by ourselves, where bubblewrap is missing, with Landlock required.

In both, every program has a process namespace and a scratch folder of its own, no capabilities, an allow-list of
system calls (seccomp) and Landlock where the kernel has it. Where neither works nothing runs, unless
`sandbox="unsafe"` says so: then there are limits, but no walls. Programs may use the standard library, fork and start
threads; they cannot open sockets, start other programs or use the locks of `multiprocessing`.

What remains: a bug in the kernel that an allowed system call reaches, and what processors leak by their timing.
"""

from __future__ import annotations

from envs.sandbox.execution import Execution, watch
from envs.sandbox.launch import SandboxError
from envs.sandbox.limits import Limits, SandboxResult
from envs.sandbox.pool import CHOICES, MEANS, MOST_AT_A_TIME, attempt, lease, means, problem

__all__ = [
    "CHOICES",
    "MEANS",
    "MOST_AT_A_TIME",
    "Execution",
    "Limits",
    "SandboxError",
    "SandboxResult",
    "attempt",
    "lease",
    "means",
    "problem",
    "run",
    "watch",
]


def run(program: str, stdin: str = "", limits: Limits | None = None, sandbox: str = "auto") -> SandboxResult:
    """Runs a Python program to its end, however it ends; nothing it started is left when this returns.

    Args:
        program: its text.
        stdin: its standard input.
        limits: what it may use; the defaults of `Limits` if None.
        sandbox: "auto", the name of one means, or "unsafe".

    Returns:
        What became of it.

    Raises:
        InputError: nothing that confines programs works here.
        SandboxError: the sandbox itself broke, twice.
    """
    chosen = means(sandbox)
    allowed = limits or Limits()

    def once() -> SandboxResult:
        with lease(chosen) as worker:
            execution = Execution(worker, program, allowed, stdin=stdin)
            try:
                watch([execution], allowed.wall_seconds)
                return execution.result()
            finally:
                execution.close()

    return attempt(once)
