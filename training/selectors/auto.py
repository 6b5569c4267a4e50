"""`layer=auto`: the block whose gradient promises the largest gain of one Adam step, or the middle one.

The score and the rule that falls back to the middle where blocks cannot be told apart are those of `training.probing`.
Left out: trial updates, which `layer=trial` has.
"""

from __future__ import annotations

from training.probing import gain, select_by_gradient
from training.selectors import Choice, Probe


def select(probe: Probe) -> Choice:
    """Scores every block on the shared batch and chooses one."""
    return select_by_gradient(probe, "auto", gain, "promises the largest first-order gain")
