"""Event files as TensorBoard itself reads them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.trackers import figures


def needs(package: str) -> None:
    """Skips where a package is not installed."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install {package}")


def told(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of metrics.jsonl as an event file holds it, in float32."""
    return {name: float(np.float32(value)) for name, value in figures(row).items()}


def read_events(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """An arm's figures by iteration."""
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    found: list[tuple[int, str, float]] = [
        (event.step, name, event.value) for name in reader.Tags()["scalars"] for event in reader.Scalars(name)
    ]
    assert len({(step, name) for step, name, _ in found}) == len(found), "a figure is there twice"
    steps = sorted({step for step, _, _ in found})
    return [(step, {name: value for at, name, value in found if at == step}) for step in steps]
