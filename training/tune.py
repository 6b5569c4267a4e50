"""`python -m training.tune env=alfworld model=tiny targets=middle,full rates=1e-3,3e-3`: the learning-rate search.

Every target is trained at every rate, from the same start on the same tasks, and scored on tuning tasks at its best
temperature; the panel is never played. What it finds belongs into the model's preset; the main job does not repeat it.
Finished cells are lines of `cells.jsonl` and are not computed again, so that an interrupted search goes on where it
was.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from agents.models import locate_model
from envs.command import run_command
from envs.config import load, save
from envs.config_schema import key
from envs.errors import InputError
from training.config import RunConfig
from training.folder import CONFIG, RunFolder
from training.prepare import check_layer

CELLS = "cells.jsonl"


@dataclass(frozen=True)
class TuneConfig(RunConfig):
    """Keys of the search, beside those of the main job, of which layer, compare, panel and resume have no effect."""

    targets: str = key("middle,full", "the targets to search for, as `layer=` writes them, separated by commas")
    rates: str = key("3e-4,1e-3,3e-3", "the learning rates to try, separated by commas")
    seeds: str = key("0", "the seeds to train each with, separated by commas")
    jobs: int = key(1, "cells trained at a time, each on one thread", unit="processes", minimum=1)


@dataclass(frozen=True)
class Cell:
    """One training run of the search."""

    target: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Its folder's name."""
        return f"{self.target.replace(':', '_')}-{self.rate:g}-seed{self.seed}"


def cells_of(config: TuneConfig) -> list[Cell]:
    """All cells, seeds outermost so that every prefix compares all rates.

    Raises:
        InputError: a rate or a seed is not a number.
    """
    try:
        rates = [float(rate) for rate in config.rates.split(",")]
        seeds = [int(seed) for seed in config.seeds.split(",")]
    except ValueError as error:
        raise InputError(f"rates= and seeds= are numbers separated by commas ({error}).") from None
    return [
        Cell(target.strip(), rate, seed)
        for seed, target, rate in itertools.product(seeds, config.targets.split(","), rates)
    ]


def main(config: TuneConfig) -> int:
    """Runs the command."""
    if not config.out:
        raise InputError("out= is missing: the folder for the search, for example out=runs/tune.")
    cells = cells_of(config)
    for cell in cells:
        check_layer(cell.target, locate_model(config.model.path))
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    save(config, out / CONFIG)
    done = {row["cell"]: row for row in RunFolder(out).rows(CELLS)}
    waiting = [cell for cell in cells if cell.name not in done]
    print(f"{len(cells)} cells, {len(done)} of them done; each trains {config.iterations} iterations")
    with ProcessPoolExecutor(config.jobs, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(train_cell, out, cell) for cell in waiting]):
            row = future.result()
            RunFolder(out).append(CELLS, [row])
            done[row["cell"]] = row
            best = f"success {row['success']:.3f} at temperature {row['temperature']:g}"
            print(f"{row['cell']}: {best}, {row['seconds']:.0f} s", flush=True)
    for line in table_lines([done[cell.name] for cell in cells]):
        print(line)
    return 0


def train_cell(out: Path, cell: Cell) -> dict[str, Any]:
    """Trains one cell of the search in a folder and scores it on the tuning tasks."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from agents.blocks import find_stack
    from agents.targets import parse
    from training.arms import train, tune
    from training.prepare import check, load_model, open_run

    torch.set_num_threads(1)
    config = load(TuneConfig, [f"config={out / CONFIG}"])
    rates = replace(config.train, learning_rate=cell.rate, full_learning_rate=cell.rate)
    folder = RunFolder(out / cell.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    inputs = check(replace(config, seed=cell.seed, train=rates))
    run = open_run(inputs, load_model(inputs), folder, echo=False)
    target = parse(cell.target, len(find_stack(run.model)))
    if target is None:
        raise InputError(f"targets={cell.target}: a search needs a fixed target.")
    history = train(run, cell.target, target)["history"]
    best, tuned = tune(run, cell.target)
    return {
        "cell": cell.name,
        "target": cell.target,
        "rate": cell.rate,
        "seed": cell.seed,
        "success": tuned[f"{best:g}"],
        "temperature": best,
        "tasks": len(run.tuning.tasks),
        "training_success": [row["success"] for row in history],
        "seconds": time.perf_counter() - started,
    }


def table_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Mean success of each target at each rate, best first."""
    grouped: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        grouped[row["target"]][row["rate"]].append(row["success"])
    lines = []
    for target, by_rate in grouped.items():
        means = {rate: sum(values) / len(values) for rate, values in by_rate.items()}
        ordered = sorted(means, key=lambda rate: -means[rate])
        cells = ", ".join(f"{rate:g}: {means[rate]:.3f} (n = {len(by_rate[rate])} seeds)" for rate in ordered)
        lines.append(f"{target}: best rate {ordered[0]:g}; {cells}")
    return lines


if __name__ == "__main__":
    sys.exit(
        run_command("python -m training.tune", TuneConfig, main, description="Searches learning rates on tuning tasks.")
    )
