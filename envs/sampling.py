"""Where a program's time goes: a timer interrupts it some hundred times a second and the running function is counted.

The timer goes by the program's processor time, or by the time that passes: then what waits for another process counts.

Unlike a profiler that times every call it hardly slows the program down, so that short functions are not made to look
expensive. What C functions do counts for the Python function that called them. It needs the timer signals of Unix.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from types import FrameType

INTERVAL = 0.001
"""Seconds between samples. Most systems cannot do less than one to ten thousandths."""


class Samples:
    """What was running when the timer rang.

    Attributes:
        counts: by full name ("envs.alfworld.text.look").
        count: whether samples count now.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.count = False

    @contextmanager
    def taken(self, waiting: bool = False) -> Iterator[None]:
        """Runs the timer inside the `with` block, which must be in the main thread.

        Args:
            waiting: whether waiting counts too.
        """
        timer, rings = (signal.ITIMER_REAL, signal.SIGALRM) if waiting else (signal.ITIMER_PROF, signal.SIGPROF)
        before = signal.signal(rings, self._note)
        left = signal.setitimer(timer, INTERVAL, INTERVAL)
        try:
            yield
        finally:
            signal.setitimer(timer, 0)
            signal.signal(rings, before)
            # Somebody else's deadline is kept, later by this block.
            signal.setitimer(timer, *left)

    def shares(self, parts: Mapping[str, str]) -> dict[str, float]:
        """Returns each part's share of the time, the largest first.

        Args:
            parts: what functions are parts of, by patterns of their full names, the first that fits; others stand for
                themselves.
        """
        grouped: Counter[str] = Counter()
        for name, count in self.counts.items():
            grouped[next((part for pattern, part in parts.items() if fnmatchcase(name, pattern)), name)] += count
        return {part: count / grouped.total() for part, count in grouped.most_common()}

    def _note(self, number: int, frame: FrameType | None) -> None:
        # The timer may ring again before this is done.
        while frame is not None and frame.f_code is Samples._note.__code__:
            frame = frame.f_back
        if self.count and frame is not None:
            self.counts[f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"] += 1
