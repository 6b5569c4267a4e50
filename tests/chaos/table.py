"""The whole table of faults."""

from __future__ import annotations

from tests.chaos import faults, signals, worlds_faults
from tests.chaos.rows import FAULTS

__all__ = ["FAULTS", "faults", "signals", "worlds_faults"]
