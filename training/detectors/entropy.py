"""A policy that is sure of all it says and yet loses: it will find nothing better, as it tries nothing else."""

from __future__ import annotations

from training.detectors import Iteration, WatchConfig

AT = "iteration"
DAMAGES = True


def wrong(seen: Iteration, config: WatchConfig) -> str:
    """Looks at the mean entropy, where there was something to learn from."""
    metrics = seen.metrics
    if "entropy" not in metrics or not metrics.get("row_tokens") or metrics["success"] == 1:
        return ""
    if metrics["entropy"] < config.entropy:
        return f"entropy {metrics['entropy']:.2g} nats a token, below {config.entropy:g}"
    return ""
