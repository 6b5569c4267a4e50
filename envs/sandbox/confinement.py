"""Takes every right away from the process that will run a program: mounts, user, capabilities, files, system calls.

Runs inside a sandbox's worker, so it needs nothing but the standard library.
"""

from __future__ import annotations

import os
import resource
from typing import TypedDict

from envs.sandbox import kernel, seccomp, world


class Setup(TypedDict):
    """What a worker is told once.

    Attributes:
        means: "bubblewrap", "namespaces" or "unsafe".
        world: the files of the sandbox.
        user: the user id that programs get, within the worker's user namespace.
    """

    means: str
    world: world.World
    user: int


class Request(TypedDict):
    """One program to run. Its file descriptors come along: stdin, stdout, stderr, the program, its own, and a report.

    Attributes:
        entry: the module whose `main(source)` runs the program; "" for a plain program.
        scratch: the scratch folder; without a sandbox, one made by the host.
        wall_seconds, cpu_seconds, memory, disk, file, processes, open_files: the limits, sizes in bytes.
    """

    entry: str
    scratch: str
    wall_seconds: float
    cpu_seconds: int
    memory: int
    disk: int
    file: int
    processes: int
    open_files: int


class Confinement:
    """Takes every right away from an init."""

    def __init__(self, setup: Setup) -> None:
        """Prepares what is the same for all programs.

        Raises:
            OSError: a needed means is missing.
        """
        self.landlock = kernel.landlock_version()
        if setup["means"] == "namespaces" and not self.landlock:
            raise OSError("this kernel has no Landlock")
        machine = seccomp.this_machine()
        if not seccomp.supported(machine):
            raise OSError(f"no list of system calls is known for {machine}")
        self._filter = seccomp.instructions(machine)
        self._world = setup["world"]
        self._user = setup["user"]
        # Processes of the worker's that count too where it is the same user: itself, and who waits for it outside.
        self._num_own = 0 if self._user else 1 if setup["means"] == "bubblewrap" else 2
        self._self = os.pidfd_open(os.getpid())
        kernel.drop_bounding_capabilities()

    def fork(self) -> int:
        """Forks the first process of a new process namespace. Returns as `os.fork` does."""
        kernel.unshare("process")
        process = os.fork()
        if process:
            kernel.rejoin_processes(self._self)
        return process

    def make_scratch(self, request: Request) -> None:
        """Mounts a fresh scratch folder that only this process and its children see."""
        kernel.unshare("mount")
        owner = f"mode=700,uid={self._user},gid={self._user}"
        flags = kernel.MOUNT_NOSUID | kernel.MOUNT_NODEV | kernel.MOUNT_NOEXEC
        data = f"size={request['disk']},nr_inodes={1024 + request['disk'] // 4096},{owner}"
        kernel.mount("tmpfs", request["scratch"], "tmpfs", flags, data)

    def lock(self, request: Request) -> None:
        """Gives up users, capabilities, files and system calls; nothing of it can be had back."""
        if self._user:
            os.setgroups([])
            os.setresgid(self._user, self._user, self._user)
            os.setresuid(self._user, self._user, self._user)
        kernel.drop_capabilities()
        kernel.die_with_parent()
        if self.landlock:
            files = self._world["readable"], self._world["devices"]
            kernel.restrict_files(*files, request["scratch"], self.landlock)
        most = request["processes"] + self._num_own
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
        seccomp.install(self._filter)
