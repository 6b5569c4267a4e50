"""Entries made by hand, whole and valid, for what reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from evals.statistics import wilson


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def entry(name: str, outcomes: Sequence[int], *, rounds: int = 1, **changed: Any) -> dict[str, Any]:
    """An entry with these wins a task; keyword arguments replace its fields."""
    tasks = len(outcomes)
    wins, episodes = sum(outcomes), tasks * rounds
    made = {
        "schema": 1,
        "name": name,
        "kind": "layer",
        "env": "alfworld",
        "options": {"data": "generated", "split": "valid_unseen", "max_turns": 30},
        "panel": {"name": "some_panel", "tasks": tasks, "sha256": sha(f"panel of {tasks}")},
        "policy": "tiny",
        "base_sha256": sha("base"),
        "delta_sha256": sha(name),
        "layer": "3",
        "algorithm": "gigpo",
        "sampling": {
            "temperature": 0.0,
            "seeds": list(range(rounds)),
            "max_turns": 30,
            "max_reply_tokens": 12,
        },
        "score": {
            "success": wins / episodes,
            "interval": wilson(wins, episodes).to_json(),
            "episodes": episodes,
            "tasks": tasks,
            "mean_turns": 12.5,
            "invalid_actions": 0.25,
            "mean_tokens": None,
            "by_type": {"pick": {"success": 0.5, "interval": [0.4, 0.6], "episodes": 2}},
        },
        "outcomes": list(outcomes),
        "training": {
            "trained_parameters": 80128,
            "total_parameters": 716768,
            "iterations": 30,
            "sampled_tokens": 10**6,
            "update_seconds": 241.7,
            "update_ratio": 0.59,
            "peak_bytes": 10**9,
            "peak_ratio": 0.8,
            "optimizer_bytes": 10**6,
            "delta_bytes": 322760,
            "sync_bytes": 320512,
        },
        "command": "python -m evals.run env=alfworld",
        "cost": {"seconds": 3.5, "date": "2026-11-22", "hardware": {}, "versions": {}},
    }
    return made | changed
