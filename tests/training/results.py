"""What two runs of one configuration must agree on: everything but what stands under `cost`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.folder import CONFIG, DELTA, EPISODES, LAYERS, METRICS, SUMMARY, RunFolder


def without_cost(content: Any) -> Any:
    """What equal runs must agree on."""
    if isinstance(content, Mapping):
        return {name: without_cost(value) for name, value in content.items() if name != "cost"}
    return [without_cost(value) for value in content] if isinstance(content, list) else content


def agreed(folder: Path) -> dict[str, Any]:
    """All of a run's results, without times."""
    return {
        SUMMARY: without_cost(json.loads((folder / SUMMARY).read_text())),
        LAYERS: without_cost(json.loads((folder / LAYERS).read_text())),
        METRICS: [without_cost(row) for row in RunFolder(folder).rows(METRICS)],
        EPISODES: [without_cost(row) for row in RunFolder(folder).rows(EPISODES)],
        DELTA: (folder / DELTA).read_bytes(),
        CONFIG: (folder / CONFIG).read_text(),
    }


def same(folder: Path, other: Path, but: str = "") -> None:
    """Fails if two runs differ, in other files than the one named."""
    first, second = agreed(folder), agreed(other)
    for name, content in first.items():
        assert name == but or content == second[name], name
