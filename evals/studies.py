"""From the cells of a layer-contribution study to `study.json`: success, differences and contributions with intervals.

A cell is one arm trained with one seed and scored task by task on the study's panels; all cells share the start, the
panels and, seed by seed, the training tasks. Arms are "base", "full", "lora:K" and the blocks' numbers. A difference d
between two arms is the mean over seeds and tasks of their paired differences; the half width of its interval is

    sqrt( t^2 (variance of d between seeds) / S  +  z^2 (variance between tasks of the mean over seeds) / N )

with Student's t of S - 1 degrees of freedom and the normal's z; a lone seed has the second part alone. What seeds and
tasks share is counted twice, so intervals are rather wide than narrow: of 10,000 simulated studies of 150 tasks
(`tests/evals/test_coverage.py`) they hold the truth in 96.5 to 100 % where seeds do not differ but by chance, and in 94
to 97 % where an arm's success spreads by 20 points between seeds. The contribution is a ratio of two such
differences: Fieller's interval with the covariance of the same two parts. Nothing is resampled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.targets import middle
from envs.errors import InputError, shortened
from envs.files import read_json
from evals.statistics import MINIMUM_GAIN, Interval, fieller, quantile, wilson

CELLS = "cells"
LEVEL = 0.95
BASE, FULL = "base", "full"
Wins = NDArray[np.bool_]


class Estimate(NamedTuple):
    """A mean over seeds and tasks.

    Attributes:
        value: the mean.
        interval: its interval.
        seeds: how many seeds it rests on.
    """

    value: float
    interval: Interval
    seeds: int


@dataclass
class Arm:
    """All cells of one arm.

    Attributes:
        name: "base", "full", "lora:K" or a block's number.
        learning_rate: what it was trained with; None for the base.
        wins: by panel and seed, success of each task, (N,).
        seconds: training seconds by seed.
    """

    name: str
    learning_rate: float | None
    wins: dict[str, dict[int, Wins]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def matrix(self, panel: str, seeds: Iterable[int]) -> Wins:
        """Success of each task with each seed, (S, N)."""
        return np.stack([self.wins[panel][seed] for seed in seeds])


def read_cells(folder: Path) -> list[dict[str, Any]]:
    """Reads a study's cells, in order of name.

    Raises:
        InputError: there are none, or one is not what the sweep writes.
    """
    rows = []
    for path in sorted((folder / CELLS).glob("*.json")):
        try:
            row = read_json(path)
            if not {"cell", "seed", "cost"} <= row.keys() or not {"panels", "chosen"} & row.keys():
                raise ValueError("it lacks cell, seed, cost, panels or chosen")
            if row.get("chosen") == [] or any(not panel["wins"] for panel in row.get("panels", {}).values()):
                raise ValueError("it chose no block, or played no task")
            rate = row.get("learning_rate")
            if not (rate is None or isinstance(rate, int | float)):
                raise ValueError(f"its learning rate is {shortened(repr(rate))}")
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a cell of a study ({error}).") from None
        rows.append(row)
    if not rows:
        raise InputError(f"{folder} holds no study: there is no cell in {folder / CELLS}.")
    return rows


def arms_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Arm]:
    """Sorts cells by arm: base first, then blocks in order, then others.

    Raises:
        InputError: two cells of one panel played other tasks, began with other weights, or are of one arm and were
            trained at different rates.
    """
    starts = {row["base_sha256"] for row in rows if row.get("base_sha256")}
    if len(starts) > 1:
        marks = ", ".join(sorted(mark[:12] for mark in starts))
        raise InputError(
            f"the cells began with {len(starts)} different policies ({marks}), so they cannot be compared."
        )
    arms: dict[str, Arm] = {}
    hashes: dict[tuple[str, str], str] = {}
    for row in rows:
        if "panels" not in row:
            continue
        arm = arms.setdefault(row["arm"], Arm(row["arm"], row["learning_rate"]))
        if arm.learning_rate != row["learning_rate"]:
            raise InputError(
                f"the cells of {shortened(arm.name)} were trained at the learning rates {arm.learning_rate} and "
                f"{row['learning_rate']}, so they are not seeds of one arm."
            )
        arm.seconds[row["seed"]] = row["cost"]["seconds"]
        for name, panel in row["panels"].items():
            for of in ("sha256", "content_sha256"):
                # Cells of before contents were recorded name none.
                if of in panel and hashes.setdefault((name, of), panel[of]) != panel[of]:
                    raise InputError(
                        f"cells played different tasks under the name {shortened(name)}, so they cannot be paired."
                    )
            arm.wins.setdefault(name, {})[row["seed"]] = np.array([mark == "1" for mark in panel["wins"]])

    def place(name: str) -> tuple[int, int, str]:
        return (0, 0, "") if name == BASE else (1, int(name), "") if name.isdecimal() else (2, 0, name)

    return {name: arms[name] for name in sorted(arms, key=place)}


def blocks_of(arms: Mapping[str, Arm]) -> list[str]:
    """The arms that train one block, in order."""
    return [name for name in arms if name.isdecimal()]


def difference(
    first: Arm, second: Arm, panel: str, level: float = LEVEL, among: Sequence[int] | None = None
) -> Estimate | None:
    """Mean success of one arm minus another's, over the seeds that both have, or those among them; None without any."""
    shared = first.wins.get(panel, {}).keys() & second.wins.get(panel, {}).keys()
    seeds = sorted(shared if among is None else shared & set(among))
    if not seeds:
        return None
    gaps_SN = first.matrix(panel, seeds).astype(float) - second.matrix(panel, seeds)
    value, variance = float(gaps_SN.mean()), float(_covariance(gaps_SN[None], level)[0, 0])
    half = quantile(level) * math.sqrt(variance)
    return Estimate(value, Interval(value - half, value + half), len(seeds))


def contribution(base: Arm, layer: Arm, full: Arm, panel: str, level: float = LEVEL) -> dict[str, Any]:
    """A layer's contribution C = (S_layer - S_base) / (S_full - S_base) (arXiv 2607.01232), or why there is none.

    It is undefined unless full training's gain lies clearly, by its whole interval, above 5 points, with the seeds that
    all three have.
    """
    seeds = sorted(set.intersection(*(set(arm.wins.get(panel, {})) for arm in (base, layer, full))))
    if not seeds:
        return {"value": None, "interval": None, "why_null": "base, full and this arm have no seed in common"}
    gain = difference(full, base, panel, level, seeds)
    assert gain is not None
    if gain.interval.low <= MINIMUM_GAIN:
        why = (
            f"training everything gained {100 * gain.value:+.1f} points with a lower bound of "
            f"{100 * gain.interval.low:+.1f} ({gain.seeds} seeds); a contribution needs a lower bound above "
            f"{100 * MINIMUM_GAIN:.0f} points"
        )
        return {"value": None, "interval": None, "why_null": why}
    base_SN = base.matrix(panel, seeds).astype(float)
    gaps_2SN = np.stack([arm.matrix(panel, seeds) - base_SN for arm in (layer, full)])
    numerator, denominator = gaps_2SN.mean(axis=(1, 2)).tolist()
    interval = fieller(numerator, denominator, _covariance(gaps_2SN, level), level)
    return {"value": numerator / denominator, "interval": interval.to_json(), "why_null": None}


def success(arm: Arm, panel: str, level: float = LEVEL) -> Interval:
    """Interval of an arm's success: seeds and tasks together, for a lone seed Wilson's."""
    wins_SN = arm.matrix(panel, sorted(arm.wins[panel])).astype(float)
    if len(wins_SN) == 1:
        return wilson(int(wins_SN.sum()), wins_SN.shape[1], level)
    half = quantile(level) * math.sqrt(float(_covariance(wins_SN[None], level)[0, 0]))
    mean = float(wins_SN.mean())
    return Interval(max(mean - half, 0.0), min(mean + half, 1.0))


def _covariance(values_KSN: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Covariance of K means over seeds and tasks, (K, K), to be used with the normal's quantile.

    The part between seeds is scaled up by as much as Student's quantile exceeds the normal's.

    Raises:
        InputError: there is one task only.
    """
    _, seeds, tasks = values_KSN.shape
    if tasks < 2:
        raise InputError("a study needs panels of two tasks or more: one says nothing of how much tasks differ.")
    by_task: NDArray[np.float64] = np.atleast_2d(np.cov(values_KSN.mean(axis=1))) / tasks
    if seeds == 1:
        return by_task
    scale = (quantile(level, seeds - 1) / quantile(level)) ** 2
    return np.asarray(scale * np.atleast_2d(np.cov(values_KSN.mean(axis=2))) / seeds + by_task)


def build(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Builds `study.json` from the cells there are, but for the selectors' validation.

    Args:
        facts: env, model, family, algorithm.
        rows: the cells.

    Returns:
        The study; what may differ between equal sweeps stands under "cost".

    Raises:
        InputError: the cells do not belong together.
    """
    arms = arms_of(rows)
    panels = {
        name: {of: panel[of] for of in ("tasks", "sha256", "content_sha256") if of in panel}
        for row in rows
        for name, panel in row.get("panels", {}).items()
    }
    return {
        **facts,
        "seeds": sorted({row["seed"] for row in rows}),
        "panels": panels,
        "arms": {name: _arm(arm) for name, arm in arms.items()},
        "differences": {panel: _differences(arms, panel) for panel in panels},
        "contrast": {
            panel: entry for panel in panels if (entry := _contrast(arms, panel, facts["blocks"])) is not None
        },
        "contribution": {
            panel: {
                name: contribution(arms[BASE], arm, arms[FULL], panel)
                for name, arm in arms.items()
                if name not in (BASE, FULL) and panel in arm.wins and BASE in arms and FULL in arms
            }
            for panel in panels
        },
        "cost": {
            "seconds": {name: arm.seconds for name, arm in arms.items()},
            "total_seconds": sum(row["cost"]["seconds"] for row in rows),
        },
    }


def _contrast(arms: Mapping[str, Arm], panel: str, num_blocks: int) -> dict[str, Any] | None:
    """Mean success of the middle half of the blocks minus that of the others; None until every block is trained."""
    blocks = blocks_of(arms)
    seeds = sorted(set.intersection(*(set(arms[name].wins.get(panel, {})) for name in blocks))) if blocks else []
    if len(blocks) < max(num_blocks, 4) or not seeds:
        return None
    half = {str(index) for index in middle(num_blocks, num_blocks // 2)}
    inner, outer = (
        np.mean([arms[name].matrix(panel, seeds) for name in blocks if (name in half) == within], axis=0)
        for within in (True, False)
    )
    gaps_SN = inner - outer
    half_width = quantile(LEVEL) * math.sqrt(float(_covariance(gaps_SN[None], LEVEL)[0, 0]))
    value = float(gaps_SN.mean())
    return {
        "middle": float(inner.mean()),
        "outer": float(outer.mean()),
        "difference": value,
        "interval": [value - half_width, value + half_width],
        "seeds": len(seeds),
    }


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "learning_rate": arm.learning_rate,
        "seeds": sorted({seed for by_seed in arm.wins.values() for seed in by_seed}),
        "success": {
            panel: [float(by_seed[seed].mean()) for seed in sorted(by_seed)] for panel, by_seed in arm.wins.items()
        },
        "interval": {panel: success(arm, panel).to_json() for panel in arm.wins},
    }


def _differences(arms: Mapping[str, Arm], panel: str) -> dict[str, Any]:
    """Every arm's success minus the base's and minus full's."""
    result: dict[str, Any] = {}
    for name, arm in arms.items():
        for other in (BASE, FULL):
            if name in (BASE, other) or other not in arms:
                continue
            found = difference(arm, arms[other], panel)
            if found is not None:
                interval = found.interval.to_json()
                result.setdefault(name, {})[f"minus_{other}"] = {
                    "difference": found.value,
                    "interval": interval,
                    "seeds": found.seeds,
                }
    return result
