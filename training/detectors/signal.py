"""Iterations in a row in which no group has a learning signal, although not everything is won."""

from __future__ import annotations

from training.detectors import Iteration, WatchConfig

AT = "iteration"
DAMAGES = False


def wrong(seen: Iteration, config: WatchConfig) -> str:
    """Looks at the share of groups without a signal."""
    if seen.metrics.get("zero_groups", 0.0) < 1 or seen.metrics.get("success") == 1:
        return ""
    return f"no group had a learning signal in {config.signal} iterations or more"


def patience(config: WatchConfig) -> int:
    """Hard tasks are lost for a while before the first is won."""
    return config.signal
