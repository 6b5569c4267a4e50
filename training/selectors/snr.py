"""`layer=snr`: scores a block by the signal-to-noise ratio of its gradient across groups of episodes.

See `training.probing` for the formula and for what happens where blocks cannot be told apart.
"""

from __future__ import annotations

from training.probing import select_by_gradient, signal_to_noise
from training.selectors import Choice, Probe


def select(probe: Probe) -> Choice:
    """Scores every block on the shared batch and chooses one."""
    return select_by_gradient(probe, "snr", signal_to_noise, "has the clearest gradient (signal to noise)")
