"""The model card beside a run's delta: what it is, what it gained, and the commands that make and use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.models import ModelConfig
from agents.starts import option_words
from envs import presets
from evals import findings
from training.config import RunConfig

CARD = "delta.md"
_TOLD = ("path", "max_reply_tokens")


def model_card(config: RunConfig, summary: Mapping[str, Any], base_sha256: str, delta_sha256: str) -> str:
    """Writes the card.

    Args:
        config: the run's configuration.
        summary: its summary.
        base_sha256: fingerprint of the base model.
        delta_sha256: fingerprint of the delta's tensors.

    Returns:
        Markdown.
    """
    arms, panel = summary["arms"], summary["panel"]
    rows = [
        f"| {arm} | {findings.percent(entry['success'])} | {100 * entry['interval'][0]:.1f} to "
        f"{100 * entry['interval'][1]:.1f} | {entry['temperature']:g} | {entry['trained_parameters']:,} |"
        for arm, entry in arms.items()
    ]
    facts = {
        "base": f"`{summary['model']}`, weights sha256 `{base_sha256}`",
        "delta": f"`delta.safetensors`, tensors sha256 `{delta_sha256}`",
        "trained": f"{findings.target(summary['layer'])} (layer `{summary['layer']['target']}`, chosen by "
        f"{summary['layer']['selector']})",
        "algorithm": f"{summary['algorithm']}, {arms['layer']['iterations']} iterations, learning rate "
        f"{arms['layer']['learning_rate']:g}, seed {summary['seed']}",
        "environment": f"{summary['env']}: {summary['data'].get('training', '')}",
        "panel": f"{panel['name']}, {panel['tasks']} tasks, sha256 `{panel['sha256']}`",
    }
    lines = [
        f"# {summary['env']}: {findings.target(summary['layer'])}",
        "",
        findings.headline(summary),
        "",
        *(f"- **{name}**: {value}" for name, value in facts.items()),
        "",
        "| arm | success | 95 % interval | temperature | trained parameters |",
        "|---|---|---|---|---|",
        *rows,
        "",
        findings.contribution(summary),
        "",
        "Made by:",
        "",
        f"    {command(config)}",
        "",
        "Scored again by:",
        "",
        f"    {scoring_command(config)}",
        "",
    ]
    return "\n".join(lines)


def command(config: RunConfig) -> str:
    """The run's command as far as presets and plain keys tell it; `config.yaml` has everything."""
    words = [
        "python -m training.run",
        f"env={config.env.name}",
        *option_words(config.env),
        *_model_words("model", config.model),
        f"algorithm={config.algorithm.name}",
        f"layer={config.layer}",
        f"iterations={config.iterations}",
        f"seed={config.seed}",
    ]
    return " ".join(words) + "  # or config=config.yaml, with every key"


def scoring_command(config: RunConfig) -> str:
    """The command that scores the delta again."""
    words = [
        "python -m evals.run",
        f"env={config.env.name}",
        *option_words(config.env),
        *_model_words("policy", config.model),
        *([f"panel={config.panel}"] if config.panel else [f"tasks={config.panel_tasks}", f"seed={config.seed}"]),
        "delta=delta.safetensors",
    ]
    return " ".join(words)


def _model_words(key: str, model: ModelConfig) -> list[str]:
    """A model's preset, and what was chosen otherwise than there."""
    known = presets.read("model", model.name)["model"] if model.name in presets.names("model") else {}
    defaults = {"path": model.name, "max_reply_tokens": ModelConfig.max_reply_tokens} | known
    changed = [name for name, value in defaults.items() if name in _TOLD and getattr(model, name) != value]
    return [f"{key}={model.name}", *(f"{key}.{name}={getattr(model, name)}" for name in changed)]
