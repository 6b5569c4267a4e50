"""A token that became very much likelier than it was: an importance ratio that nothing learned from it survives."""

from __future__ import annotations

from training.detectors import Update, WatchConfig

AT = "update"
DAMAGES = True


def wrong(seen: Update, config: WatchConfig) -> str:
    """Looks at the largest ratio."""
    if 0 < config.ratio < seen.ratio:
        return f"a token became {seen.ratio:.3g} times as likely, above {config.ratio:g}"
    return ""
