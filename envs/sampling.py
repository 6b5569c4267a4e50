"""Where a program's time goes: a timer interrupts it some hundred times a second and the running function is counted.

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
"""Seconds of processor time between samples. Most systems cannot do less than one to ten thousandths."""


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
    def taken(self) -> Iterator[None]:
        """Runs the timer inside the `with` block, which must be in the main thread."""
        before = signal.signal(signal.SIGPROF, self._note)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

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
        if self.count and frame is not None:
            self.counts[f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"] += 1
