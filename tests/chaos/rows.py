"""The table of faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.jobs import Training

Provoke = Callable[[Training], str]
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Fault:
    """One row of the table, which the README has too.

    Attributes:
        name: its function's name.
        what: what happens.
        seen: the line that the user sees. RUN is the run's folder, a number stands for any other and "..." for any
            words; " or: " parts lines of which one is seen.
        lost: what is lost.
        provoke: provokes it and returns the line that the user sees.
    """

    name: str
    what: str
    seen: str
    lost: str
    provoke: Provoke

    def try_out(self, training: Training) -> str:
        """Provokes it; the line that the user sees.

        Raises:
            AssertionError: it is another one than the promised, or another promise is broken.
        """
        said = self.provoke(training)
        assert self.promises(said), f"the user sees {said!r}, not {self.seen!r}"
        return said

    def promises(self, said: str) -> bool:
        """Whether that is the line that the user is to see."""
        return any(
            re.fullmatch(".*".join(re.escape(plain(part)) for part in line.split("...")), plain(said))
            for line in self.seen.split(" or: ")
        )


FAULTS: dict[str, Fault] = {}
REPLAYED = "the iteration under way, which is played again"


def fault(what: str, seen: str, lost: str) -> Callable[[Provoke], Provoke]:
    """Adds a fault to the table."""

    def add(provoke: Provoke) -> Provoke:
        FAULTS[provoke.__name__] = Fault(provoke.__name__, what, seen, lost, provoke)
        return provoke

    return add


def plain(line: str) -> str:
    """A line with N for every number."""
    return _NUMBER.sub("N", line)
