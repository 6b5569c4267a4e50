"""Rows of the table of faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.jobs import Training

Provoke = Callable[[Training], str]


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Attributes:
        name: its function's name.
        what: what happens.
        lost: what is lost.
        provoke: provokes it and returns the line that the user sees.
    """

    name: str
    what: str
    lost: str
    provoke: Provoke


FAULTS: dict[str, Fault] = {}
REPLAYED = "the iteration under way, which is played again"


def fault(what: str, lost: str) -> Callable[[Provoke], Provoke]:
    """Adds a fault to the table."""

    def add(provoke: Provoke) -> Provoke:
        FAULTS[provoke.__name__] = Fault(provoke.__name__, what, lost, provoke)
        return provoke

    return add
