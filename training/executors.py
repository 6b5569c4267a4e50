"""Running independent cells of a search or a study: side by side here, or as jobs on a Ray cluster.

A cell is a function of plain values that returns a plain row, so that it can travel. Its result does not depend on
where it ran. The local workers end with their parent, whatever ended that.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from typing import Any

from envs.errors import InputError

EXECUTORS = ("local", "ray")
Row = dict[str, Any]
Call = tuple[Any, ...]


def check(executor: str) -> None:
    """Makes sure that an executor can be used.

    Raises:
        InputError: its package is not installed.
    """
    if executor == "ray" and importlib.util.find_spec("ray") is None:
        raise InputError("executor=ray needs Ray, which is not installed: pip install 'keystone-rl[ray]'")


def run_cells(function: Callable[..., Row], calls: Sequence[Call], jobs: int, executor: str = "local") -> Iterator[Row]:
    """Runs cells and yields their rows as they finish.

    Args:
        function: computes one cell; importable by name.
        calls: its arguments, one tuple a cell, begun in this order.
        jobs: how many run at a time; on a cluster, as many as its free processors allow at most.
        executor: "local" for processes here, "ray" for a cluster.

    Raises:
        InputError: the executor's package is not installed.
    """
    check(executor)
    return _on_ray(function, calls, jobs) if executor == "ray" else _here(function, calls, jobs)


def _here(function: Callable[..., Row], calls: Sequence[Call], jobs: int) -> Iterator[Row]:
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        futures = [pool.submit(function, *call) for call in calls]
        try:
            for future in as_completed(futures):
                yield future.result()
        except (KeyboardInterrupt, GeneratorExit):
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _on_ray(function: Callable[..., Row], calls: Sequence[Call], jobs: int) -> Iterator[Row]:
    import ray

    # Ray phones home unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    started = not ray.is_initialized()
    if started:
        address = os.environ.get("RAY_ADDRESS")
        local = {} if address else {"num_cpus": jobs, "include_dashboard": False}
        ray.init(address=address, log_to_driver=False, **local)
    remote = ray.remote(num_cpus=1, max_retries=1)(function)
    waiting, running = list(calls), list[Any]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(remote.remote(*waiting.pop(0)))
            done, running = ray.wait(running, num_returns=1)
            yield ray.get(done[0])
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if started:
            ray.shutdown()


def end_with_parent() -> None:
    """Has this worker end as soon as its parent has, whatever ended that."""

    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
