"""Hand-made run folders for the report's tests."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def summary() -> dict[str, Any]:
    """A finished run with all three arms."""
    at_budget = {
        "layer": {"iteration": 30, "success": 0.46, "interval": [0.404, 0.517]},
        "full": {"iteration": 27, "success": 0.49, "interval": [0.434, 0.546]},
    }

    def arm(success: float, interval: list[float], parameters: int, iterations: int) -> dict[str, Any]:
        return {
            "success": success,
            "episodes": 300,
            "interval": interval,
            "mean_turns": 31.25,
            "temperature": 0.4,
            "trained_parameters": parameters,
            "iterations": iterations,
            "sampled_tokens": 1234567 * bool(iterations),
        }

    cost = {
        "seconds": 301.2,
        "rollout_seconds": 240.0,
        "update_seconds": 41.5,
        "peak_bytes": 1610612736,
        "optimizer_bytes": 1179648,
        "sync_bytes": 393216,
    }
    return {
        "env": "alfworld",
        "model": "tiny",
        "algorithm": "gigpo",
        "seed": 0,
        "data": {"training": "3,553 generated train games", "evaluation": "generated unseen games"},
        "panel": {"name": "seed 0", "tasks": 300, "sha256": "0123456789abcdef" * 4},
        "tuning_panel": {"name": "tuning, seed 0", "tasks": 128, "sha256": "fedcba9876543210" * 4},
        "layer": {"selector": "auto", "target": "4", "indices": [4], "count": 1},
        "arms": {
            "base": arm(0.33, [0.279, 0.385], 0, 0),
            "layer": arm(0.46, [0.404, 0.517], 98624, 30),
            "full": arm(0.5, [0.444, 0.556], 628288, 30),
        },
        "paired": {
            "layer_vs_base": {"difference": 0.13, "interval": [0.07, 0.19], "p": 0.00003},
            "layer_vs_full": {"difference": -0.04, "interval": [-0.1, 0.02], "p": 0.21},
            "full_vs_base": {"difference": 0.17, "interval": [0.105, 0.233], "p": 0.0000001},
        },
        "contribution": {"value": 0.765, "interval": [0.45, 1.16], "why_null": None},
        "equal_tokens": at_budget,
        "cost": {
            "layer": cost,
            "full": {**cost, "update_seconds": 75.0, "seconds": 340.0, "peak_bytes": 2**31},
            "selection_seconds": 12.5,
            "update_ratio": 0.553,
            "update_floor": 0.52,
            "equal_wall_clock": at_budget,
        },
    }


def write(folder: Path, content: dict[str, Any], *, tasks: bool = False) -> Path:
    """Writes a run folder with learning curves, those of `tasks` with intervals, and layer scores around a summary."""
    known: dict[str, Any] = {"episodes": 32, "task_success": [0.25, 1.0, 0.0, 0.5]} if tasks else {}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "config.yaml").write_text(f"env:\n  name: {content['env']}\nseed: 0\n", encoding="utf-8")
    rows = [
        {
            "arm": arm,
            "iteration": iteration,
            "success": round(0.3 + gain * iteration / 30 + 0.05 * math.sin(7 * iteration + len(arm)), 4),
            "reward": 3.0,
            **known,
        }
        for arm, gain in (("layer", 0.15), ("full", 0.22))
        for iteration in range(30)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    blocks = [
        {
            "index": i,
            "score": round(math.exp(-((i - 4) ** 2) / 5) - 0.1, 3),
            "details": {"standard_error": 0.05 + 0.02 * i},
        }
        for i in range(8)
    ]
    layers = {"selector": "auto", "chosen": [4], "why": "Block 4 scored highest.", "blocks": blocks, "cost": {}}
    (folder / "layers.json").write_text(json.dumps(layers), encoding="utf-8")
    return folder
