"""`python -m training.tune env=alfworld model=tiny targets=middle,full rates=1e-3,3e-3`: the learning-rate search.

Every target is trained at every rate, from the same start on the same tasks, and scored on tuning tasks at its best
temperature; the panel is never played. What it finds belongs into the model's preset; the main job does not repeat it.
The folder is `out=`, by default runs/tune; finished cells are lines of its `cells.jsonl` and are not computed again, so
that an interrupted search goes on where it was. Of a finished cell its log and its iterations' figures stay.
"""

from __future__ import annotations

import itertools
import math
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from agents.models import quiet
from agents.starts import locate
from envs.command import run_command
from envs.config import load, save
from envs.config_schema import key, listed
from envs.errors import InputError
from envs.files import understood
from evals.sampling import read_seeds
from training import fitting, selectors
from training.cell_run import ROW, kept_row, opened, own_config
from training.config import RunConfig
from training.executors import IDLE_SECONDS, run_cells
from training.folder import CONFIG, STATE, RunFolder
from training.prepare import check_layer

CELLS = "cells.jsonl"


@dataclass(frozen=True)
class TuneConfig(RunConfig):
    """Keys of the search, beside those of the main job; layer, budget, compare, trackers and resume have no effect.

    The panel is not played; its tasks are kept apart from those of the search.
    """

    targets: str = key("middle,full", "the targets to search for, as `layer=` writes them, separated by commas")
    rates: str = key("3e-4,1e-3,3e-3", "the learning rates to try, separated by commas")
    seeds: str = key("0", "the seeds to train each with, separated by commas")
    jobs: int = key(
        1,
        "cells trained at a time, each on one thread; spread over the GPUs, if there are some",
        unit="processes",
        minimum=1,
    )
    idle_seconds: float = key(
        IDLE_SECONDS, "a cell whose processes have done nothing for so long is begun again", unit="seconds", minimum=1.0
    )


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
    """All cells, each once, seeds outermost so that every prefix compares all rates.

    Raises:
        InputError: a rate or a seed is not a number.
    """
    rates, seeds, targets = _rates(config.rates), read_seeds(config.seeds), listed(config.targets)
    for name, found, example in (("seeds", seeds, "0,1"), ("targets", targets, "middle,full")):
        if not found:
            raise InputError(f"{name}= is empty; a search takes some, such as {name}={example}.")
    cells = [Cell(target, rate, seed) for seed, target, rate in itertools.product(seeds, targets, rates)]
    # Cells of one name would train in one folder.
    return list({cell.name: cell for cell in cells}.values())


def _rates(text: str) -> list[float]:
    try:
        rates = [float(rate) for rate in text.split(",")]
    except ValueError:
        rates = []
    if not all(math.isfinite(rate) and rate > 0 for rate in rates) or not rates:
        raise InputError(f"rates must be numbers above 0 with commas between them, as 3e-4,1e-3, got {text!r}.")
    return rates


def main(config: TuneConfig) -> int:
    """Runs the command."""
    cells = cells_of(config)
    model_path = locate(config.model.path, config.env)
    for cell in cells:
        if cell.target in selectors.names():
            raise InputError(f"targets={cell.target}: a search needs fixed targets, such as middle, 4 or full.")
        check_layer(cell.target, model_path)
        fitting.check_frozen(own_config(config, cell.target, cell.seed, cell.rate))
    out = open_folder(config)
    folder = RunFolder(out)
    folder.claim()
    done = finished(out)
    waiting = [cell for cell in cells if cell.name not in done]
    for cell in cells:
        if cell.name in done:
            _tidy(out, cell.name)
    print(f"{len(cells)} cells, {len(cells) - len(waiting)} of them done; each trains {config.iterations} iterations")
    try:
        for row in run_cells(
            train_cell,
            [(out, cell) for cell in waiting],
            config.jobs,
            names=[cell.name for cell in waiting],
            idle_seconds=config.idle_seconds,
        ):
            folder.append(CELLS, [row])
            done[row["cell"]] = row
            _tidy(out, row["cell"])
            best = f"success {row['success']:.3f} at temperature {row['temperature']:g}"
            print(f"{row['cell']}: {best}, {row['seconds']:.0f} s", flush=True)
    except KeyboardInterrupt:
        print(f"stopped. Finished cells and checkpoints are in {out}; the same command goes on.")
        return 130
    for line in table_lines([done[cell.name] for cell in cells]):
        print(line)
    return 0


def finished(out: Path) -> dict[str, dict[str, Any]]:
    """The rows of a search's finished cells, by name.

    Raises:
        InputError: a row is none of a cell.
    """
    with understood(out / CELLS, "a file of finished cells"):
        done = {row["cell"]: row for row in RunFolder(out).rows(CELLS)}
        table_lines(list(done.values()))
    return done


def open_folder(config: TuneConfig) -> Path:
    """Makes the search's folder, or opens it to go on.

    Raises:
        InputError: it holds something else, or a search with other settings.
    """
    out = Path(config.out or "runs/tune")
    kept = _shared(config)
    if not (out / CONFIG).is_file():
        RunFolder.create(out)
        save(kept, out / CONFIG)
    elif not (out / CELLS).is_file() and (out / STATE).is_file():
        raise InputError(f"out={out} holds a run, not a search. Choose an empty or new folder.")
    # What was written before a key was there has its default now.
    elif _shared(load(TuneConfig, [f"config={out / CONFIG}"])) != kept:
        raise InputError(f"out={out} holds a search with other settings ({out / CONFIG}). Choose another folder.")
    return out


def _shared(config: TuneConfig) -> TuneConfig:
    """What all cells of a search have in common."""
    # Nothing is chosen in a search, so what a choice may cost has no effect.
    return replace(config, out="", targets="", rates="", seeds="", jobs=1, idle_seconds=1.0, budget=0.0)


def _tidy(out: Path, name: str) -> None:
    """Removes what only a cell that is not finished needs."""
    from training.running import CHECKPOINTS

    shutil.rmtree(out / name / CHECKPOINTS, ignore_errors=True)
    (out / name / ROW).unlink(missing_ok=True)


def train_cell(out: Path, cell: Cell) -> dict[str, Any]:
    """Trains one cell of the search in a folder and scores it on the tuning tasks."""
    quiet()  # before what imports PEFT, which brings bitsandbytes and its messages
    from agents.blocks import find_stack
    from agents.targets import parse
    from training.arms import train
    from training.running import tune, tuning_success

    folder = RunFolder(out / cell.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    if (kept := kept_row(folder)) is not None:
        return kept
    started = time.perf_counter()
    config = load(TuneConfig, [f"config={out / CONFIG}"])
    with opened(own_config(config, cell.target, cell.seed, cell.rate), folder) as run:
        target = parse(cell.target, len(find_stack(run.model)), selectors.names())
        assert target is not None
        history = train(run, cell.target, target)["history"]
        best, tuned = tune(run, cell.target)
        success = tuned[f"{best:g}"] if tuned else tuning_success(run, cell.target, best)
    row = {
        "cell": cell.name,
        "target": cell.target,
        "rate": cell.rate,
        "seed": cell.seed,
        "success": success,
        "temperature": best,
        "tasks": len(run.tuning.tasks),
        "training_success": [row["success"] for row in history],
        "seconds": time.perf_counter() - started,
    }
    folder.write_json(ROW, row)
    return row


def by_rate(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[float, list[float]]]:
    """The successes of a search's cells by target and rate.

    Raises:
        LookupError, TypeError, ValueError: a row is none of a cell.
    """
    found: dict[str, dict[float, list[float]]] = {}
    for row in rows:
        rate, success = float(row["rate"]), float(row["success"])
        if not (0 < rate < math.inf and 0 <= success <= 1):
            raise ValueError(f"a rate of {rate:g} and a success of {success:g}")
        found.setdefault(str(row["target"]), {}).setdefault(rate, []).append(success)
    return found


def best_first(successes: Mapping[float, list[float]]) -> list[float]:
    """The rates of a target, that of the highest mean success first."""
    return sorted(successes, key=lambda rate: -fmean(successes[rate]))


def table_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Mean success of each target at each rate, best first."""
    lines = []
    for target, successes in by_rate(rows).items():
        ordered = best_first(successes)
        cells = ", ".join(
            f"{rate:g}: {fmean(successes[rate]):.3f} (n = {len(successes[rate])} seeds)" for rate in ordered
        )
        lines.append(f"{target}: best rate {ordered[0]:g}; {cells}")
    return lines


if __name__ == "__main__":
    sys.exit(
        run_command("python -m training.tune", TuneConfig, main, description="Searches learning rates on tuning tasks.")
    )
