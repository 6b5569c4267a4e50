"""Cells as jobs on a Ray cluster, watched.

Ray notices processes and machines that die, and begins their cells again. It does not notice a process that is stopped:
so each one says now and then that it goes on, and one that falls silent is killed where it runs. Left out: cells that
are blocked for good while their process is alive.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from envs.errors import first_line
from training.cell_workers import TRIES, LostCellError, Row

_LOOK_SECONDS = 5.0
_ANSWER_SECONDS = 120.0
_START_SECONDS = 600.0


class _Heard:
    """Who said when that it goes on: an actor of the cluster, which the cells' processes call."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[str, int, int]] = {}

    def say(self, index: int, node: str, pid: int) -> None:
        """A cell's process goes on."""
        self._said[index] = (node, pid, self._said.get(index, ("", 0, 0))[2] + 1)

    def all(self) -> dict[int, tuple[str, int, int]]:
        """By cell: its node, its process, and how often it was heard."""
        return self._said


def _compute(function: Callable[..., Row], heard: Any, index: int, every: float, call: tuple[Any, ...]) -> Row:  # noqa: ANN401
    """Computes a cell, and says now and then that its process goes on."""
    import ray

    over, node = threading.Event(), ray.get_runtime_context().get_node_id()

    def speak() -> None:
        while not over.wait(every):
            heard.say.remote(index, node, os.getpid())

    # Whatever happens in the cell, its process is known then.
    ray.get(heard.say.remote(index, node, os.getpid()), timeout=_ANSWER_SECONDS)
    threading.Thread(target=speak, daemon=True).start()
    try:
        return function(*call)
    finally:
        over.set()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class _Watch:
    """Looks after the cells that the cluster computes."""

    def __init__(self, names: Sequence[str], idle_seconds: float, say: Callable[[str], None]) -> None:
        import ray

        self._names, self._patience, self._report = names, idle_seconds, say
        self.heard = ray.remote(num_cpus=0)(_Heard).remote()
        self._last: dict[int, tuple[tuple[str, int, int], float]] = {}
        self._tried = dict[int, int]()
        self._begun = time.monotonic()

    def look(self, running: Sequence[int]) -> None:
        """Kills the processes of cells that have fallen silent.

        Args:
            running: numbers of the cells that were handed to the cluster and are not done.

        Raises:
            LostCellError: the cluster does not answer, or begins no cell, or a cell was begun `TRIES` times.
        """
        now = time.monotonic()
        for index, said in self._ask(self.heard.all.remote(), "which cells go on").items():
            if index in running and self._last.get(index, (None, 0.0))[0] != said:
                self._last[index] = said, now
        self._last = {index: last for index, last in self._last.items() if index in running}
        if self._last or not running:
            self._begun = now
        elif now - self._begun > (patience := max(self._patience, _START_SECONDS)):
            named = ", ".join(self._names[index] for index in running)
            raise LostCellError(
                f"Ray has begun none of the cells {named} within {patience:g} s: each needs a free processor of "
                "the cluster, and its share of a GPU where there are some. Finished cells are kept; the same command "
                "goes on."
            )
        for index, ((node, pid, _), when) in self._last.items():
            if now - when > self._patience:
                self._end(index, node, pid)
                self._last[index] = self._last[index][0], now

    def _end(self, index: int, node: str, pid: int) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._tried[index] = self._tried.get(index, 1) + 1
        line = f"cell {self._names[index]}: its process {pid} was not heard of for {self._patience:g} s"
        if self._tried[index] > TRIES:
            raise LostCellError(f"{line}, {TRIES} times. Finished cells are kept; the same command goes on.")
        self._report(f"{line} and is killed. The cell goes on in another one, try {self._tried[index]} of {TRIES}.")
        there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        killer = ray.remote(num_cpus=0, scheduling_strategy=there)(_kill)
        self._ask(killer.remote(pid), f"{line}; process {pid} could not be killed there")

    def row(self, index: int, reference: Any) -> Row:  # noqa: ANN401 - Ray's own
        """The row of a cell that is done.

        Raises:
            LostCellError: its process died each time, or the cluster does not answer.
        """
        import ray

        name = self._names[index]
        try:
            row: Row = ray.get(reference, timeout=_ANSWER_SECONDS)
        except ray.exceptions.WorkerCrashedError:
            raise LostCellError(
                f"cell {name}: its process died. It was begun {TRIES} times. Finished cells are kept; the same command "
                "goes on."
            ) from None
        except ray.exceptions.RayError as error:
            # What the cell itself raises is raised here too, as it is where cells run without Ray.
            cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
            if cause is None or isinstance(cause, ray.exceptions.RayError):
                raise _no_answer(f"the row of cell {name}", error) from None
            raise cause from error
        return row

    def _ask(self, reference: Any, what: str) -> Any:  # noqa: ANN401 - whatever the cluster says
        import ray

        try:
            return ray.get(reference, timeout=_ANSWER_SECONDS)
        except ray.exceptions.RayError as error:
            raise _no_answer(what, error) from None


def _no_answer(what: str, error: Exception) -> LostCellError:
    return LostCellError(
        f"Ray's cluster gives no answer ({what}): {first_line(error)}. Finished cells are kept; the same command "
        "goes on."
    )


def _gpu_share(jobs: int) -> float:
    """How much of a GPU a cell asks for: one of its own, or as much as there is for each of so many at a time."""
    import ray

    return min(1.0, float(ray.cluster_resources().get("GPU", 0.0)) / jobs)


def run_on_ray(
    function: Callable[..., Row],
    calls: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    jobs: int,
    idle_seconds: float,
    say: Callable[[str], None],
) -> Iterator[Row]:
    """Yields the rows of cells as they finish; arguments as for `cell_workers.run_here`.

    Raises:
        LostCellError: the cluster does not answer or begins nothing, or a cell's process fell silent `TRIES` times.
    """
    import ray

    # Ray phones home unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    started = not ray.is_initialized()
    if started:
        address = os.environ.get("RAY_ADDRESS")
        local = {} if address else {"num_cpus": jobs, "include_dashboard": False}
        ray.init(address=address, log_to_driver=False, **local)
    remote = ray.remote(num_cpus=1, num_gpus=_gpu_share(jobs), max_retries=TRIES - 1)(_compute)
    watch = _Watch(names, idle_seconds, say)
    waiting, running = list(range(len(calls))), dict[Any, int]()
    look = min(_LOOK_SECONDS, idle_seconds / 4)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                index = waiting.pop(0)
                running[remote.remote(function, watch.heard, index, idle_seconds / 8, calls[index])] = index
            done, _ = ray.wait(list(running), num_returns=1, timeout=look)
            for reference in done:
                yield watch.row(running.pop(reference), reference)
            watch.look(list(running.values()))
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if started:
            ray.shutdown()
