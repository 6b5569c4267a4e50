"""What a run holds, and whether it holds more and more."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

SLACK = {"rss_mib": (0.03, 8.0), "descriptors": (0.0, 4.0), "processes": (0.0, 1.0), "scratch_files": (0.0, 8.0)}
"""By what share, and by how much, the last quarter's median may lie above the second one's."""


@dataclass(frozen=True)
class Course:
    """What became of one quantity.

    Attributes:
        quarters: its median in each quarter of the time.
        grows: whether the last one lies above the second by more than `SLACK` allows. The first is the time of
            filling caches.
    """

    quarters: tuple[float, ...]
    grows: bool


def course(what: str, values: Sequence[float]) -> Course:
    """Judges a quantity.

    Args:
        what: a key of `SLACK`.
        values: as read at equal intervals, four at least.

    Raises:
        ValueError: there are fewer than four.
    """
    if len(values) < 4:
        raise ValueError(f"{len(values)} looks have no quarters; it takes four or more.")
    bounds = [len(values) * part // 4 for part in range(5)]
    quarters = tuple(float(median(values[low:high])) for low, high in itertools.pairwise(bounds))
    share, amount = SLACK[what]
    return Course(quarters, quarters[3] > quarters[1] * (1 + share) + amount)


def held(process: psutil.Process, scratch: Path) -> dict[str, float]:
    """What a process and all below it hold now.

    Args:
        process: the one at the top.
        scratch: the folder of its temporary files.
    """
    memory = descriptors = count = 0
    for one in [process, *process.children(recursive=True)]:
        # A worker may end between being listed and being read.
        with suppress(psutil.NoSuchProcess):
            with one.oneshot():
                memory += one.memory_info().rss
            descriptors += one.num_fds()
            count += 1
    files = sum(1 for path in scratch.rglob("*") if not path.is_dir())
    return {"rss_mib": memory / 2**20, "descriptors": descriptors, "processes": count, "scratch_files": files}
