"""Ctrl-C and SIGTERM: the first asks the run to stop in good order, the second ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from envs.errors import KeystoneError


class StoppedError(KeystoneError):
    """The user asked the run to stop, and everything so far is written."""


class Stop:
    """Whether a stop was asked for."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        """True once a stop was asked for."""
        return self.requested

    def check(self) -> None:
        """Ends the run here if a stop was asked for.

        Raises:
            StoppedError: it was.
        """
        if self.requested:
            raise StoppedError

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Listens for signals while the context lasts."""
        previous = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
