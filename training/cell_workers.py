"""Cells side by side in worker processes of this machine, watched.

Every worker is a process of its own, so that it is known which cell it works at. One that dies, or whose processes
have used no processor time for long (stopped, or blocked for good), is replaced and its cell begun again. The workers
end with their parent, whatever ended that. Where there are several GPUs the workers are spread over them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any

import psutil

from envs.errors import KeystoneError
from envs.killing import signal_name
from training.cell_devices import keep_to, least_used, visible_devices

Row = dict[str, Any]
TRIES = 3
_LOOK_SECONDS = 5.0
_STOP_SECONDS = 30.0
_EXIT_SECONDS = 10.0


class LostCellError(KeystoneError):
    """A cell's process died or fell silent again and again, or there was none for it; finished cells are kept."""


class _Worker:
    """One worker process, and the cell that it computes.

    Attributes:
        index: number of the cell.
        future: of its row.
        tried: how often the cell was begun.
        process: the process.
        pid: its number.
        device: the GPU that it keeps to; nothing for whatever there is.
    """

    def __init__(
        self, function: Callable[..., Row], index: int, call: tuple[Any, ...], device: str, tried: int = 1
    ) -> None:
        """Starts the process and begins the cell."""
        self.device = device
        self._pool = futures.ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_begin_worker, initargs=(device,)
        )
        self.begin(function, index, call, tried)
        (self.process,) = self._pool._processes.values()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def begin(self, function: Callable[..., Row], index: int, call: tuple[Any, ...], tried: int = 1) -> None:
        """Begins a further cell."""
        self.index, self.tried = index, tried
        self.future = self._pool.submit(function, *call)
        self._used, self._since = -1.0, time.monotonic()

    def idle(self) -> float:
        """Seconds for which it and its children have used no processor time, as far as was looked."""
        used = _used(self.pid)
        if used != self._used:
            self._used, self._since = used, time.monotonic()
        return time.monotonic() - self._since

    def ending(self) -> str:
        """How the process ended, in words."""
        # The library's own thread may be about to note the exit code, which the system tells only once.
        until = time.monotonic() + _LOOK_SECONDS
        while (code := self.process.exitcode) is None and time.monotonic() < until:
            time.sleep(0.01)
        return f"was killed by {signal_name(-code)}" if code and code < 0 else f"ended with exit code {code}"

    def ask_to_stop(self) -> None:
        """Has the cell stop in good order."""
        if self.process.is_alive():
            os.kill(self.pid, signal.SIGINT)

    def close(self, kill: bool = False) -> None:
        """Ends the process: it does nothing any more, or is killed."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if kill or not wait([self.process.sentinel], _EXIT_SECONDS):
            self.process.kill()


def run_here(
    function: Callable[..., Row],
    calls: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    jobs: int,
    idle_seconds: float,
    say: Callable[[str], None],
) -> Iterator[Row]:
    """Yields the rows of cells as they finish.

    Args:
        function: computes one cell; importable by name.
        calls: its arguments, one tuple a cell.
        names: of the cells.
        jobs: how many run at a time.
        idle_seconds: after which a cell that uses no processor time is begun again.
        say: told of every cell that is begun again.

    Raises:
        LostCellError: a cell was begun `TRIES` times, and its process died or fell silent each time.
    """
    waiting = list(enumerate(calls))[::-1]
    workers: list[_Worker] = []
    look = min(_LOOK_SECONDS, idle_seconds / 4)
    devices = visible_devices() if jobs > 1 else []
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                device = least_used(devices, [worker.device for worker in workers])
                workers.append(_Worker(function, *waiting.pop(), device))
            done, _ = futures.wait([worker.future for worker in workers], look, futures.FIRST_COMPLETED)
            for worker in list(workers):
                lost = "" if worker.future in done else _silence(worker, idle_seconds)
                if worker.future in done:
                    try:
                        yield worker.future.result(0)
                    except BrokenProcessPool:
                        lost = worker.ending()
                if lost:
                    worker.close(kill=True)
                    workers.remove(worker)
                    say(_told(names[worker.index], worker, lost))
                    again = worker.index, calls[worker.index], worker.device, worker.tried + 1
                    workers.append(_Worker(function, *again))
                elif worker.future in done and waiting and worker.process.is_alive():
                    worker.begin(function, *waiting.pop())
                elif worker.future in done:
                    workers.remove(worker)
                    worker.close()
    finally:
        _stop(workers, names, say)


def _silence(worker: _Worker, idle_seconds: float) -> str:
    """Says for how long a worker has done nothing, if that is too long."""
    idle = worker.idle()
    if idle < idle_seconds:
        return ""
    stopped = ""
    with contextlib.suppress(psutil.Error):
        stopped = " (it is stopped)" if psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED else ""
    return f"has used no processor time for {idle_seconds:g} s{stopped} and is killed"


def _told(name: str, worker: _Worker, lost: str) -> str:
    """The line about a cell that is begun again.

    Raises:
        LostCellError: it was begun often enough.
    """
    line = f"cell {name}: its process {worker.pid} {lost}."
    if worker.tried >= TRIES:
        raise LostCellError(f"{line} It was begun {TRIES} times. Finished cells are kept; the same command goes on.")
    return f"{line} The cell goes on in another one, try {worker.tried + 1} of {TRIES}."


def _stop(workers: Sequence[_Worker], names: Sequence[str], say: Callable[[str], None]) -> None:
    """Ends what still runs: gives it time, then asks, then kills. Ctrl-C at a terminal has reached the workers too."""
    running = [worker for worker in workers if not worker.future.done()]
    for ask in (False, True):
        if not running:
            break
        if ask:
            say(f"waiting for {', '.join(f'cell {names[worker.index]} ({worker.pid})' for worker in running)}")
            for worker in running:
                worker.ask_to_stop()
        futures.wait([worker.future for worker in running], _STOP_SECONDS)
        running = [worker for worker in running if not worker.future.done()]
    for worker in workers:
        worker.close(kill=worker in running)


def _used(pid: int) -> float:
    """Seconds of processor time of a process and all below it; 0 if it is gone."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += sum(each.cpu_times()[:4])
    return total


def _begin_worker(device: str) -> None:
    keep_to(device)
    end_with_parent()


def end_with_parent() -> None:
    """Has this worker end as soon as its parent has, whatever ended that."""

    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
