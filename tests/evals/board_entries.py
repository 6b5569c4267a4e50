"""Leaderboard entries of scripted players on generated household games, played for real."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import envs
from agents.policies.scripted import ScriptedPolicy
from agents.types import Episode
from evals.panels import Panel
from evals.scoring import episode_row, play, score, score_by_type


def played(player: str, tasks: int, max_turns: int = 50) -> tuple[Panel, list[Episode]]:
    """A player on the first unseen games."""
    make = partial(envs.make, "alfworld", split="valid_unseen", max_turns=max_turns)
    panel = Panel("alfworld_unseen", tuple(make().sample_tasks(0, tasks)))
    return panel, play(make, ScriptedPolicy(player), panel, 0)


def entry(name: str, kind: str, panel: Panel, episodes: list[Episode], **rest: Any) -> dict[str, Any]:
    """An entry for episodes played once each."""
    found = score(episodes)
    by_type = {
        task_type: {"success": one.success, "interval": one.interval.to_json(), "episodes": one.episodes}
        for task_type, one in score_by_type(episodes).items()
    }
    return {
        "schema": 1,
        "name": name,
        "kind": kind,
        "env": "alfworld",
        "options": {},
        "panel": {"name": panel.name, "tasks": len(panel.tasks), "sha256": panel.sha256},
        "policy": name,
        "base_sha256": None,
        "delta_sha256": None,
        "layer": None,
        "algorithm": None,
        "sampling": {"temperature": None, "seeds": [0], "max_turns": None, "max_reply_tokens": None},
        "score": {
            "success": found.success,
            "interval": found.interval.to_json(),
            "episodes": found.episodes,
            "tasks": len(panel.tasks),
            "mean_turns": found.mean_turns,
            "invalid_actions": found.invalid_actions,
            "mean_tokens": None,
            "by_type": by_type,
        },
        "outcomes": [int(episode.won) for episode in episodes],
        "training": None,
        "command": f"python -m evals.run policy={name} panel={panel.name}",
        "cost": {"seconds": 1.5, "date": "2026-11-22", "hardware": {"cores": 2}, "versions": {"torch": "2.13.0"}},
        **rest,
    }


def trained(share: float, **rest: Any) -> dict[str, Any]:
    """What an entry says about training."""
    return {
        "trained_parameters": round(share * 716_768),
        "total_parameters": 716_768,
        "iterations": 30,
        "sampled_tokens": 250_000,
        "update_seconds": 41.5,
        "update_ratio": round(0.3 + 0.7 * share, 3),
        "peak_bytes": 800_000_000,
        "peak_ratio": round(0.5 + 0.5 * share, 3),
        "optimizer_bytes": 640_000,
        "delta_bytes": round(share * 2_867_072),
        "sync_bytes": round(share * 2_867_072),
        **rest,
    }


def write(path: Path, episodes: list[Episode], **labels: Any) -> Path:
    """Writes an `episodes.jsonl`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (json.dumps(episode_row(episode, **labels)) for episode in episodes)
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return path
