"""A world or its verifier that fails in place of answering: what is left of the episodes may be no fair sample."""

from __future__ import annotations

from training.detectors import Iteration, WatchConfig

AT = "iteration"
DAMAGES = False


def wrong(seen: Iteration, config: WatchConfig) -> str:
    """Counts the broken episodes, which are never learned from."""
    causes = [episode.error for episode in seen.episodes if episode.error is not None]
    if config.broken and causes and len(causes) >= config.broken * len(seen.episodes):
        return f"{len(causes)} of {len(seen.episodes)} episodes broke, the first so: {causes[0]}"
    return ""
