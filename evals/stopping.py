"""Ctrl-C and SIGTERM: the first asks the run to stop in good order, the second ends it at once.

A machine that runs out of memory or disk asks too, before it takes the run down.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from envs.errors import KeystoneError

EVERY = 1.0
"""Seconds between two looks at memory and disk."""


class StoppedError(KeystoneError):
    """The run was asked to stop, and everything so far is written."""


class Stop:
    """Whether a stop was asked for.

    Args:
        shortage: says in a line what the machine lacks, nothing while all is well; it is asked now and then, wherever
            the run looks whether to stop.

    Attributes:
        requested: whether it was.
        reason: why, if no person asked for it.
    """

    def __init__(self, shortage: Callable[[], str] | None = None) -> None:
        self.requested, self.reason = False, ""
        self._shortage, self._looked = shortage, -EVERY

    def __call__(self) -> bool:
        """True once a stop was asked for."""
        if self._shortage is not None and not self.requested and time.monotonic() - self._looked >= EVERY:
            self._looked = time.monotonic()
            self.reason = self._shortage()
            self.requested = bool(self.reason)
        return self.requested

    def check(self) -> None:
        """Ends the run here if a stop was asked for.

        Raises:
            StoppedError: it was.
        """
        if self():
            raise StoppedError(self.reason)

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
