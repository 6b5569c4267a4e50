"""Scoring what is handed in with `python -m evals.run` itself, and reading what it left in its folder.

A job is checked before anything slow is imported, and marked by a hash of all that tells it from others, so that a
stopped one goes on in the folder of its mark.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from envs.errors import InputError
from evals import run
from evals.folder import Folder
from evals.hardware import versions
from evals.leaderboard.sources import card
from evals.panels import Panel
from evals.run import EvalConfig

EPISODES, SCORE = "episodes.jsonl", "score.json"


@dataclass(frozen=True)
class Job:
    """A checked evaluation.

    Attributes:
        config: its configuration.
        panel: the tasks.
        options: those of the world, with the panel's.
        model: where the model is; empty for a scripted player and an endpoint.
        temperature: that it is sampled at; None for a scripted player.
        seeds: of its draws.
        mark: a hash of what tells it from others.
    """

    config: EvalConfig
    panel: Panel
    options: dict[str, Any]
    model: str
    temperature: float | None
    seeds: tuple[int, ...]
    mark: str


@dataclass(frozen=True)
class Scored:
    """What an evaluation found.

    Attributes:
        facts: `score.json`: env, options, policy, hashes, panel, cost.
        seeds: the seeds of its episodes.
        outcomes: wins of each task, in the panel's order.
        score: the figures of an entry's `score`.
        episodes: the file with its episodes.
    """

    facts: Mapping[str, Any]
    seeds: list[int]
    outcomes: list[int]
    score: dict[str, Any]
    episodes: Path


def prepare(config: EvalConfig) -> Job:
    """Finds what can be wrong with an evaluation before anything slow is imported.

    Raises:
        InputError: a name, a value, the data, the delta's file or the model's folder cannot be used.
    """
    plain = EvalConfig(**{field.name: getattr(config, field.name) for field in fields(EvalConfig)})
    inputs = run.check(plain)
    if len(inputs.temperatures) != 1:
        raise InputError(
            f"an entry has one temperature, got temperatures={list(inputs.temperatures)}. Give one, such as [0]."
        )
    # By what the files hold: a layer that is trained anew has the name of the old one.
    cards = [card(path) for path in run._deltas(plain)]
    weights = [(found["tensors_sha256"], found["base_sha256"]) for found in cards] or _changed(inputs.model_path)
    facts = run.facts_of(plain, inputs) | {"delta": weights, "vote": plain.vote, "batch": None}
    facts |= {"release": versions().get("keystone-rl")}
    mark = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return Job(
        plain,
        inputs.panel,
        dict(inputs.make_env.keywords),
        inputs.model_path,
        inputs.temperatures[0],
        inputs.seeds,
        mark,
    )


def _changed(model: str) -> list[tuple[str, int, int]]:
    """What tells a model folder's weights from those that it had before, without reading them."""
    files = sorted(Path(model).glob("*.safetensors")) if model and Path(model).is_dir() else []
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def play(job: Job, folder: Path) -> Scored | None:
    """Plays a panel, or goes on with it; prints progress and tables as `evals.run` does.

    Args:
        job: what to play.
        folder: where its episodes are kept.

    Returns:
        What it found; None if the user stopped it.

    Raises:
        InputError: the model cannot be loaded, the delta was made for another one, or the folder holds something else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if run.main(replace(job.config, out=str(folder))) != 0:
        return None
    return read(folder, job.panel)


def read(path: Path, panel: Panel) -> Scored:
    """Reads a finished evaluation of one policy at one temperature.

    Raises:
        InputError: its rows are not those of the panel.
    """
    folder = Folder(path)
    facts = folder.read_json(SCORE)
    wins: dict[str, int] = defaultdict(int)
    seeds: dict[int, None] = {}
    count = 0
    for row in folder.rows(EPISODES):
        wins[row["task"]] += bool(row["won"])
        seeds[row["seed"]] = None
        count += 1
    if wins.keys() != set(panel.tasks) or count != len(panel.tasks) * len(seeds):
        raise InputError(
            f"{path} does not hold one episode of every task of panel {panel.name}. Remove it and add again."
        )
    (found,) = facts["scores"]
    return Scored(
        facts, list(seeds), [wins[task] for task in panel.tasks], _score(found, len(panel.tasks)), folder / EPISODES
    )


def base_sha256(job: Job) -> str:
    """Hash of the weights of a job's model, before a delta is laid over them."""
    from agents import deltas
    from agents.models import choose_dtype, quiet
    from agents.policies.transformers import load

    quiet()
    model, _ = load(job.model, "cpu", choose_dtype(job.config.policy.dtype, job.model))
    return deltas.base_fingerprint(model)


def delta_files(config: EvalConfig) -> Sequence[Path]:
    """The delta files of a configuration."""
    return run._deltas(config)


def _score(found: Mapping[str, Any], tasks: int) -> dict[str, Any]:
    by_type = {
        kind: {name: score[name] for name in ("success", "interval", "episodes")}
        for kind, score in found["by_type"].items()
    }
    return {
        "success": found["success"],
        "interval": list(found["interval"]),
        "episodes": found["episodes"],
        "tasks": tasks,
        "mean_turns": found["mean_turns"],
        "invalid_actions": found["invalid_actions"],
        "mean_tokens": found.get("mean_tokens"),
        "by_type": by_type,
    }
