"""The model card beside a run's delta: what it is, what it gained, and the commands that make and use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envs.registry import options_of
from evals import findings
from training.config import RunConfig

CARD = "delta.md"


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
        f"    python -m evals.run env={summary['env']} policy={summary['model']} delta=delta.safetensors",
        "",
    ]
    return "\n".join(lines)


def command(config: RunConfig) -> str:
    """The run's command as far as presets and plain keys tell it; `config.yaml` has everything."""
    words = [
        "python -m training.run",
        f"env={config.env.name}",
        f"model={config.model.name}",
        f"algorithm={config.algorithm.name}",
        f"layer={config.layer}",
        f"iterations={config.iterations}",
        f"seed={config.seed}",
    ]
    data = options_of(config.env).get("data")
    return " ".join([*words, *([f"data={data}"] if data else [])]) + "  # or config=config.yaml, with every key"
