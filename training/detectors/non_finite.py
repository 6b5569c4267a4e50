"""A loss, a gradient, a divergence or a ratio that is no number: its step would make the weights none either."""

from __future__ import annotations

import math

from training.detectors import Update, WatchConfig

AT = "update"
DAMAGES = True


def wrong(seen: Update, config: WatchConfig) -> str:
    """Looks at all figures of an update."""
    for what, value in (
        ("loss", seen.loss),
        ("gradient's norm", seen.grad_norm),
        ("KL divergence from the policy that sampled", seen.kl),
        ("KL divergence from the starting policy", seen.reference_kl),
        ("largest probability ratio", seen.ratio),
    ):
        if not math.isfinite(value):
            return f"the {what} is {value}"
    return ""
