"""`layer=fisher`: scores a block by its squared mean gradient in units of the diagonal Fisher information.

That is the first-order gain of a natural-gradient step. See `training.probing` for the formula and for what happens
where blocks cannot be told apart.
"""

from __future__ import annotations

from training.probing import fisher, select_by_gradient
from training.selectors import Choice, Probe


def select(probe: Probe) -> Choice:
    """Scores every block on the shared batch and chooses one."""
    return select_by_gradient(probe, "fisher", fisher, "has the largest Fisher-normalised gradient")
