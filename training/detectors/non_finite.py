"""A loss or a gradient that is no number: its step would make the weights none either."""

from __future__ import annotations

import math

from training.detectors import Update, WatchConfig

AT = "update"
DAMAGES = True


def wrong(seen: Update, config: WatchConfig) -> str:
    """Looks at the loss and the gradient's norm."""
    for what, value in (("loss", seen.loss), ("gradient's norm", seen.grad_norm)):
        if not math.isfinite(value):
            return f"the {what} is {value}"
    return ""
