"""Calls that wait for a service, many at a time, each in a thread of its own.

Python waits at its end for the threads of a pool, so that a stopped command would live on until a service's last
answer. It does not wait for these.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Calls(Generic[Result]):
    """Calls under way.

    Attributes:
        waiting: the numbers of those that have not been heard of.
    """

    def __init__(self, slots: threading.Semaphore) -> None:
        """Starts without calls.

        Args:
            slots: held while a call runs; may be shared with others.
        """
        self.waiting: set[int] = set()
        self._slots = slots
        self._ended: SimpleQueue[tuple[int, Result | Exception]] = SimpleQueue()
        self._over = threading.Event()

    def begin(self, number: int, call: Callable[[], Result]) -> None:
        """Makes a call as soon as there is a slot.

        Args:
            number: tells it from the others that are waited for.
            call: what to do.
        """
        self.waiting.add(number)
        threading.Thread(target=self._make, args=(number, call), daemon=True).start()

    def ended(self, seconds: float) -> dict[int, Result]:
        """Returns what the calls gave that have ended, at least one. After an error no further call is made.

        Args:
            seconds: how long to wait for the first.

        Raises:
            TimeoutError: none ended in time.
            Exception: a call raised it.
        """
        try:
            return self._results(seconds)
        except BaseException:
            # Whoever stops waiting, by Ctrl-C as well, wants no further calls.
            self._over.set()
            raise

    def _results(self, seconds: float) -> dict[int, Result]:
        try:
            found = [self._ended.get(timeout=seconds)]
        except Empty:
            raise TimeoutError(f"none of {len(self.waiting)} calls ended within {seconds:g} s") from None
        while not self._ended.empty():
            found.append(self._ended.get_nowait())
        results = {}
        for number, result in found:
            self.waiting.discard(number)
            if isinstance(result, Exception):
                raise result
            results[number] = result
        return results

    def _make(self, number: int, call: Callable[[], Result]) -> None:
        with self._slots:
            if self._over.is_set():
                return
            try:
                result: Result | Exception = call()
            except Exception as error:  # raised again in the thread that waits
                result = error
        self._ended.put((number, result))
