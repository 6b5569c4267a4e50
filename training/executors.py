"""Running independent cells of a search or a study: side by side here, or as jobs on a Ray cluster.

A cell is a function of plain values that returns a plain row, so that it can travel. Its result does not depend on
where it ran, nor on how often it was begun.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from envs.errors import InputError
from training.cell_cluster import run_on_ray
from training.cell_workers import Row, run_here

IDLE_SECONDS = 1800.0
"""How long a cell may do nothing: more than a service that it may ask is given to answer."""


def check(executor: str) -> None:
    """Makes sure that an executor can be used.

    Raises:
        InputError: its package is not installed.
    """
    if executor == "ray" and importlib.util.find_spec("ray") is None:
        raise InputError("executor=ray needs Ray, which is not installed: pip install 'keystone-rl[ray]'")


def run_cells(
    function: Callable[..., Row],
    calls: Sequence[tuple[Any, ...]],
    jobs: int,
    executor: str = "local",
    *,
    names: Sequence[str] | None = None,
    idle_seconds: float = IDLE_SECONDS,
    say: Callable[[str], None] = print,
) -> Iterator[Row]:
    """Runs cells and yields their rows as they finish.

    Args:
        function: computes one cell; importable by name.
        calls: its arguments, one tuple a cell, begun in this order.
        jobs: how many run at a time; on a cluster, as many as its free processors allow at most.
        executor: "local" for processes here, "ray" for a cluster.
        names: of the cells, for what is said about them; numbers if None.
        idle_seconds: a cell whose processes have done nothing for so long is begun again.
        say: told in a line of every cell that is begun again.

    Raises:
        InputError: the executor's package is not installed.
        LostCellError: a cell could not be computed, as its process died or fell silent each time.
    """
    check(executor)
    run = run_on_ray if executor == "ray" else run_here
    return run(function, calls, names or [str(index) for index in range(len(calls))], jobs, idle_seconds, say)
