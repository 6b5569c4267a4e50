"""What a machine has left of memory and disk, so that a long run ends in good order before it is ended.

A run that meets the end of memory is killed without a word, and one that meets the end of the disk has lost what it was
about to write. Both are looked at while it works.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from envs.config_schema import key
from envs.files import writing

_CGROUP = Path("/sys/fs/cgroup")
_MEGABYTE = 2**20


@dataclass(frozen=True)
class ReserveConfig:
    """Keys `reserve.*`."""

    memory: int = key(
        256, "a run stops in good order when the machine has less memory left; 0 does not look", unit="MiB", minimum=0
    )
    disk: int = key(
        256,
        "a run stops in good order when the disk it writes to has less room left; 0 does not look",
        unit="MiB",
        minimum=0,
    )

    def shortage(self, folder: Path) -> str:
        """What there is too little of, in a line; empty while all is well.

        Args:
            folder: the folder that is written to.

        Raises:
            StorageError: it is gone.
        """
        if self.memory and (memory := free_memory() // _MEGABYTE) < self.memory:
            return f"{memory} MiB of memory are left, and reserve.memory={self.memory} are kept free"
        if self.disk and (disk := free_disk(folder) // _MEGABYTE) < self.disk:
            return f"{disk} MiB are left on the disk of {folder}, and reserve.disk={self.disk} are kept free"
        return ""


def free_disk(folder: Path) -> int:
    """Bytes that can be written to the disk of a folder.

    Raises:
        StorageError: the folder is gone.
    """
    with writing(folder):
        return shutil.disk_usage(folder).free


def free_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes of memory that can be had without swapping: the machine's, or the container's where that has a limit."""
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (cgroup / "memory.max").read_text().strip(), int((cgroup / "memory.current").read_text())
        cached = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return free
    return free if limit == "max" else min(free, int(limit) - used + int(cached.get("inactive_file", 0)))
