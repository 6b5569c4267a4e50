"""What a program may use in the sandbox, and what is known about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from envs.errors import InputError

Status = Literal["ok", "error", "signal", "time", "processor time", "memory", "output"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program and everything it starts may use.

    Attributes:
        wall_seconds: from start to end; at its end everything is killed.
        cpu_seconds: of processor time, each process.
        memory_mb: of address space, each process; and of memory, all processes together, which is looked at 50 times
            a second.
        disk_mb: of files in the scratch folder, all together.
        file_mb: of one file.
        processes: processes and threads at a time, the program itself included; not limited without a sandbox.
        open_files: open files, each process.
        output_kb: of standard output, and as much of standard error.
    """

    wall_seconds: float = 10.0
    cpu_seconds: int = 10
    memory_mb: int = 512
    disk_mb: int = 16
    file_mb: int = 16
    processes: int = 8
    open_files: int = 64
    output_kb: int = 256

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: if one allows nothing.
        """
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise InputError(f"{field.name} should be above 0, got {getattr(self, field.name)}.")


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """What became of a program.

    Attributes:
        status: "ok"; "error" if it ended with another exit code than 0; "signal" if a signal ended it; otherwise the
            limit for which it was killed.
        reason: the same in words, in one line.
        stdout: its standard output, cut at the limit.
        stderr: its standard error, cut at the limit.
        exit_code: its exit code; the negative number of the signal that ended it.
        seconds: how long it ran.
        means: what confined it: "bubblewrap", "namespaces" or "unsafe".
    """

    status: Status
    reason: str
    stdout: str
    stderr: str
    exit_code: int
    seconds: float
    means: str
