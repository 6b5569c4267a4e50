"""The cells of a layer-contribution study: one arm trained and scored, or one selector asked, with one seed.

A cell needs the study's settings alone, so that it can be computed anywhere; `training.sweep` says which there are.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agents.starts import locate
from envs.config import load
from envs.config_schema import key, listed
from envs.pool import place
from evals.studies import BASE, CELLS, read_cells
from training import selectors
from training.cell_run import ROW, kept_row, opened, own_config
from training.config import RunConfig
from training.executors import IDLE_SECONDS
from training.folder import CONFIG, RunFolder
from training.prepare import block_count
from training.watch import watched

if TYPE_CHECKING:
    from envs.types import TextEnv
    from evals.panels import Panel
    from training.running import Run


@dataclass(frozen=True)
class SweepConfig(RunConfig):
    """Keys of the study, beside those of the main job, of which layer, compare, trackers and resume have no effect."""

    layers: str = key("all", "the blocks to train alone: all, or numbers and ranges such as 0,3-5")
    seeds: str = key("0,1,2,3,4", "the seeds of training, separated by commas")
    full: bool = key(True, "whether to train everything as well, which contributions need")
    lora: str = key("middle", "the block that LoRA adapters are trained on; empty for none")
    selectors: str = key("all", "the selectors to judge: all, none, or names separated by commas")
    panels: str = key("", "further fixed panels to score on, separated by commas, such as alfworld_valid_seen")
    panel_data: str = key("", "the data of those panels, where they are not in env.data")
    rates: str = key(
        "kept",
        "the folder of a search by training.tune, whose best rate of each target is taken; kept is the one that"
        " Keystone keeps for this world, policy and training, if there is one; empty takes train.*",
    )
    jobs: int = key(
        1,
        "cells computed at a time, each on one thread; spread over the GPUs, if there are some",
        unit="processes",
        minimum=1,
    )
    idle_seconds: float = key(
        IDLE_SECONDS, "a cell whose processes have done nothing for so long is begun again", unit="seconds", minimum=1.0
    )
    executor: Literal["local", "ray"] = key("local", "where: in processes here, or on a Ray cluster")
    plan: bool = key(False, "say what the study would cost, and end")


@dataclass(frozen=True)
class Cell:
    """One piece of work of the study.

    Attributes:
        kind: "arm" trains and scores, "selector" asks a selector.
        name: the arm, as `layer=` writes it, or the selector.
        seed: of training.
        rate: the learning rate of an arm, or the one that a selector chooses for; 0 for train.learning_rate.
    """

    kind: str
    name: str
    seed: int
    rate: float = 0.0

    @property
    def file(self) -> str:
        """Its file's name without the ending."""
        what = self.name if self.kind == "arm" else f"select-{self.name}"
        return f"{what.replace(':', '_')}-seed{self.seed}"

    @property
    def folder(self) -> str:
        """The name of its folder while it is computed; at another rate it is not gone on with."""
        return f"{self.file}-{self.rate:g}"

    @property
    def layer(self) -> str:
        """What it trains or asks, as `layer=` writes it; the middle block for the base, which trains nothing."""
        return "middle" if self.name == BASE else self.name


def compute(settings: str, cell: Cell, work: str) -> dict[str, Any]:
    """Computes one cell on one thread, or goes on with it where a checkpoint of it lies in the work folder.

    Args:
        settings: the study's configuration as YAML.
        cell: which one.
        work: folder for what lies between; the cell's own in it is there until its row has been written down.

    Returns:
        The cell's row, for JSON.
    """
    folder = RunFolder(Path(work) / cell.folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    if (kept := kept_row(folder)) is not None:
        return kept
    folder.write_text(CONFIG, settings)
    config = load(SweepConfig, [f"config={folder / CONFIG}"])
    started = time.perf_counter()
    with opened(own_config(config, cell.layer, cell.seed, cell.rate), folder, config.seed) as run:
        row = _arm(run, cell) if cell.kind == "arm" else _pick(run, cell)
    row["cost"] = {"seconds": time.perf_counter() - started} | row["cost"]
    row = {"cell": cell.file, "seed": cell.seed} | row
    folder.write_json(ROW, row)
    return row


def _arm(run: Run, cell: Cell) -> dict[str, Any]:
    """Trains an arm and scores it on all panels, at the temperature that is best on its tuning tasks."""
    from agents.blocks import find_stack
    from agents.targets import parse
    from evals.scoring import play, wins
    from training.arms import train
    from training.running import evaluate

    config = run.config
    assert isinstance(config, SweepConfig)
    base_sha256, trained = run.base_sha256, dict[str, Any]()
    if cell.name != BASE:
        target = parse(cell.name, len(find_stack(run.model)))
        assert target is not None
        trained = train(run, cell.name, target)
    evaluation = evaluate(run, cell.name)
    panels = {run.panel.name: _panel(run.panel, evaluation["wins"])}
    for name, make, panel in _further(config):
        placed = place(config.env.name, make.keywords, run.pool)
        episodes = play(placed, run.policy(evaluation["temperature"], cell.name), panel, config.seed, stop=run.stop)
        run.stop.check()
        panels[name] = _panel(panel, wins(episodes))
    history = trained.get("history", [])
    wrong = {"watch": watched(history)} if any("found" in row for row in history) else {}
    return {
        "arm": cell.name,
        "learning_rate": cell.rate or None,
        "base_sha256": base_sha256,
        "trained_parameters": trained.get("trained_parameters", 0),
        "temperature": evaluation["temperature"],
        "tuning": evaluation["tuning"],
        "training_success": [round(row["success"], 4) for row in history],
        "episodes": len(history) * config.train.groups * config.train.group_size,
        "panels": panels,
        **wrong,
        "cost": {"update_seconds": sum(row["cost"]["update_seconds"] for row in history)},
    }


def _further(config: SweepConfig) -> Iterator[tuple[str, partial[TextEnv], Panel]]:
    """The further panels by name, each with what makes an environment of it."""
    from evals.panels import choose

    for name in listed(config.panels):
        env = replace(config.env, data=config.panel_data) if config.panel_data else config.env
        yield name, *choose(env, name, "", config.seed, 1)


def _panel(panel: Panel, won: Iterable[Any]) -> dict[str, Any]:
    return {**panel.as_json(), "wins": "".join("1" if one else "0" for one in won)}


def _pick(run: Run, cell: Cell) -> dict[str, Any]:
    """Asks a selector what it would train from the same start with the same seed."""
    from training.selection import choose

    choice = choose(run, cell.name)
    return {
        "selector": cell.name,
        "learning_rate": run.config.train.learning_rate,
        "target": choice["target"],
        "chosen": choice["chosen"],
        "scores": [block["score"] for block in choice["blocks"]],
        "details": [block["details"] for block in choice["blocks"]],
        "why": choice["why"],
        "episodes": choice["cost"].get("episodes", 0),
        "learned_episodes": choice["cost"].get("learned_episodes", 0),
        "cost": {"seconds": choice["cost"]["seconds"]},
    }


def cost_of(config: SweepConfig, out: Path, waiting: Sequence[Cell]) -> list[float]:
    """Seconds that each cell takes on one thread: the mean of those done, else from one iteration played here."""
    seconds: dict[str, list[float]] = {}
    for row in read_cells(out) if any((out / CELLS).glob("*.json")) else []:
        kind = _sort("arm", row["arm"]) if "arm" in row else _sort("selector", row["selector"])
        seconds.setdefault(kind, []).append(row["cost"]["seconds"])
    means = {name: sum(values) / len(values) for name, values in seconds.items()}
    if "trained" not in means:
        means = _trial(config) | means
    # What may race is taken to spend its whole budget.
    race = config.budget * block_count(locate(config.model.path, config.env)) * means["trained"]
    means = {"race": race} | means
    # A kind of which none is done yet is taken for as dear as the dearest.
    return [means.get(_sort(cell.kind, cell.name), max(means.values())) for cell in waiting]


def _sort(kind: str, name: str) -> str:
    """Cells of one sort cost about the same."""
    if kind == "selector":
        return "race" if selectors.races(name) else "selector"
    return BASE if name == BASE else "trained"


def scoring_episodes(config: SweepConfig, panel: Panel, tuning: Panel) -> int:
    """How many episodes scoring an arm plays, on its tuning tasks and on all panels."""
    # Where there is but one temperature to choose from the tuning tasks are not played.
    times = len(config.temperatures) if len(config.temperatures) > 1 else 0
    return times * len(tuning.tasks) + len(panel.tasks) + sum(len(one.tasks) for _, _, one in _further(config))


def _trial(config: SweepConfig) -> dict[str, float]:
    """Plays and learns one iteration of the middle block; extrapolates."""
    import torch

    from agents.models import quiet

    quiet()
    from agents.targets import parse
    from training.arms import train
    from training.prepare import check, load_model, open_run

    print("one iteration of the middle block is timed to tell the cost", flush=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="keystone-sweep-") as scratch:
        inputs = check(replace(config, iterations=1, layer="middle", compare="none"))
        run = open_run(inputs, load_model(inputs), RunFolder(Path(scratch)), echo=False)
        target = parse("middle", block_count(inputs.model_path))
        assert target is not None
        with run.pool:
            (row,) = train(run, "middle", target)["history"]
        scored = scoring_episodes(config, run.panel, run.tuning)
    torch.set_num_threads(threads)
    episode = row["cost"]["rollout_seconds"] / (config.train.groups * config.train.group_size)
    evaluation = scored * episode
    training = config.iterations * (row["cost"]["rollout_seconds"] + row["cost"]["update_seconds"])
    return {"trained": training + evaluation, BASE: evaluation, "selector": 2 * row["cost"]["seconds"]}
