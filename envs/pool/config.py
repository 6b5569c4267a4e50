"""The keys of the pool, and what they mean where they are left to the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from envs.config_schema import key

MEGABYTE = 1_000_000
_MOST_WORLDS = 8
_WORLD_BYTES = 512 * MEGABYTE
_LEAST_BYTES = 512 * MEGABYTE
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class PoolConfig:
    """Keys for worlds that rollouts play in worker processes (those with `TextEnv.in_process = False`)."""

    workers: int = key(
        0, "worker processes for worlds that are slow or may crash; 0 is one a core", unit="processes", minimum=0
    )
    worlds: int = key(
        0, "worlds in each worker; 0 is as many as free memory suggests, at most 8", unit="worlds", minimum=0
    )
    reset_seconds: float = key(
        120.0, "a worker that takes longer to start a task is killed and started again", unit="seconds", minimum=0.01
    )
    step_seconds: float = key(
        60.0, "a worker that takes longer over a command is killed and started again", unit="seconds", minimum=0.01
    )
    memory_megabytes: int = key(
        0,
        "a worker that holds more, its children included, is replaced after an episode, and at twice as much at once; "
        "0 is its share of half the free memory",
        unit="MB",
        minimum=0,
    )
    tries: int = key(3, "how often an episode is begun before its failure is its result", unit="times", minimum=1)

    @property
    def num_workers(self) -> int:
        """Number of worker processes."""
        return self.workers or os.cpu_count() or 1

    @property
    def num_worlds(self) -> int:
        """Number of worlds in each."""
        fitting = free_bytes() // (self.num_workers * _WORLD_BYTES)
        return self.worlds or min(max(fitting, 1), _MOST_WORLDS)

    @property
    def memory_bytes(self) -> int:
        """Resident memory past which a worker is replaced."""
        return self.memory_megabytes * MEGABYTE or max(free_bytes() // (2 * self.num_workers), _LEAST_BYTES)


def free_bytes() -> int:
    """Memory that this process and its children may still take: the machine's, or what its control group leaves."""
    free = int(psutil.virtual_memory().available)
    try:
        most, now = (int((_CGROUP / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
    except (OSError, ValueError):
        # There is no such group, or its limit is "max", none.
        return free
    return max(min(free, most - now), 0)
