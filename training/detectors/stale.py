"""A sampler that says very different probabilities than the trainer: it plays other weights, whatever it calls them.

Episodes that carry another version of the weights are refused before anything is learned from them
(`training.synchronizing`); this sees a sampler that claims the right one.
"""

from __future__ import annotations

from training.detectors import Iteration, WatchConfig

AT = "iteration"
DAMAGES = True


def wrong(seen: Iteration, config: WatchConfig) -> str:
    """Looks at the divergence between both, where it is measured (`training.mismatch`)."""
    found = seen.metrics.get("mismatch_kl", 0.0)
    if 0 < config.mismatch < found:
        return f"sampler and trainer differ by {found:.3g} nats a token, above {config.mismatch:g}"
    return ""
