"""`layer=norm`: scores a block by the length of its mean gradient.

See `training.probing` for the formula and for what happens where blocks cannot be told apart.
"""

from __future__ import annotations

from training.probing import norm, select_by_gradient
from training.selectors import Choice, Probe


def select(probe: Probe) -> Choice:
    """Scores every block on the shared batch and chooses one."""
    return select_by_gradient(probe, "norm", norm, "has the longest mean gradient")
