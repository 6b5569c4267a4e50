"""A policy that is far from the one that sampled what it learns from, or from the one that it started as."""

from __future__ import annotations

from training.detectors import Update, WatchConfig

AT = "update"
DAMAGES = True


def wrong(seen: Update, config: WatchConfig) -> str:
    """Looks at both divergences."""
    if 0 < config.kl < seen.kl:
        return f"KL divergence {seen.kl:.3g} from the policy that sampled, above {config.kl:g}"
    if 0 < config.reference_kl < seen.reference_kl:
        return f"KL divergence {seen.reference_kl:.3g} from the starting policy, above {config.reference_kl:g}"
    return ""
