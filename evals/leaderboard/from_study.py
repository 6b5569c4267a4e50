"""Entries from the cells of a layer-contribution study.

A cell is one arm trained with one seed and scored task by task; the sweep keeps its wins but not its weights. So the
entry has no delta, and its command is the sweep's line for this arm and seed, which trains and scores it again. Of the
blocks the middle one is taken, and the one whose mean over the seeds is highest; LoRA and all parameters as they are.
All seeds of an arm that was taken become entries: none is chosen by its score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.targets import middle
from envs import presets
from envs.errors import InputError
from envs.installation import REPOSITORY
from evals.folder import Folder
from evals.leaderboard.entries import SCHEMA, algorithm_label, check, trained_name
from evals.panels import read as read_panel
from evals.statistics import wilson
from evals.studies import BASE, FULL, arms_of, blocks_of, read_cells

FACTS, CONFIG = "facts.json", "config.yaml"
_BYTES = {"float32": 4, "bfloat16": 2}


def entries(study: Path, command: str) -> list[dict[str, Any]]:
    """Makes the entries of a study.

    Args:
        study: its folder.
        command: the sweep's line, which makes all cells again; an entry has what of it makes its own.

    Returns:
        One entry a panel, arm and seed.

    Raises:
        InputError: the folder holds no study.
    """
    facts = Folder(study).read_json(FACTS)
    if facts is None:
        raise InputError(f"{study} holds no study: it has no {FACTS}.")
    config, rows = presets.read_yaml(study / CONFIG), read_cells(study)
    best, centre = _chosen(rows, facts["blocks"])
    found = []
    for row in rows:
        arm = row.get("arm")
        if arm is None or arm == BASE or not (arm in (best, centre, FULL) or arm.startswith("lora")):
            continue
        marks = [mark for mark, block in (("middle", centre), ("best of the study", best)) if arm == block]
        for panel in row["panels"].values():
            entry = _entry(facts, config, row, panel, marks, _total(rows))
            line = _line(command, study, row, centre)
            found.append(check(entry | {"command": line}, f"cell {row['cell']} of {study}"))
    return found


def _line(command: str, study: Path, row: Mapping[str, Any], centre: str) -> str:
    """The sweep's line for one cell, from the policy that is kept, at its rate; a sweep always trains some block."""
    arm = row["arm"]
    start = {"model.path": str(study.relative_to(REPOSITORY) / "start")} if (study / "start").is_dir() else {}
    rate = "train.full_learning_rate" if arm == FULL else "train.learning_rate"
    asked = start | {
        "rates": "",
        rate: f"{row['learning_rate']:g}",
        "layers": arm if arm.isdecimal() else centre,
        "full": "true" if arm == FULL else "false",
        "lora": arm.removeprefix("lora:") if arm.startswith("lora") else "",
        "selectors": "none",
        "seeds": str(row["seed"]),
    }
    others = [word for word in command.split() if word.partition("=")[0] not in asked]
    return " ".join([*others, *(f"{name}={value}" for name, value in asked.items())])


def _chosen(rows: Sequence[Mapping[str, Any]], blocks: int) -> tuple[str, str]:
    """The block with the highest mean over seeds on the study's first panel, and the middle one."""
    arms = arms_of(rows)
    panel = next(iter(next(row for row in rows if "panels" in row)["panels"]))
    known = {name: np.mean([wins.mean() for wins in arms[name].wins[panel].values()]) for name in blocks_of(arms)}
    (centre,) = middle(blocks)
    return max(known, key=lambda name: float(known[name]), default=str(centre)), str(centre)


def _total(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Number of the model's parameters, if everything was trained."""
    return next((row["trained_parameters"] for row in rows if row.get("arm") == FULL), None)


def _entry(
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    row: Mapping[str, Any],
    panel: Mapping[str, Any],
    marks: Sequence[str],
    total: int | None,
) -> dict[str, Any]:
    arm, outcomes = row["arm"], [int(mark) for mark in panel["wins"]]
    kind = "full" if arm == FULL else "lora" if arm.startswith("lora") else "layer"
    what = "all parameters" if kind == "full" else trained_name(arm)
    said = f" ({', '.join(marks)})" if marks else ""
    options = {name: value for name, value in config["env"].items() if name != "name"}
    if panel["name"] in presets.names("panel"):
        options |= read_panel(panel["name"]).options
    model = config["model"]
    return {
        "schema": SCHEMA,
        "name": f"{what}{said}, {algorithm_label(facts['algorithm'])}, seed {row['seed']}",
        "kind": kind,
        "env": facts["env"],
        "options": options,
        "panel": {name: panel[name] for name in ("name", "tasks", "sha256", "content_sha256") if name in panel},
        "policy": facts["model"],
        "base_sha256": row["base_sha256"],
        "delta_sha256": None,
        "layer": None if kind == "full" else arm,
        "algorithm": facts["algorithm"],
        "sampling": {
            "temperature": row["temperature"],
            "seeds": [row["seed"]],
            "max_turns": options.get("max_turns"),
            "max_reply_tokens": model.get("max_reply_tokens"),
        },
        "score": _score(sum(outcomes), panel["tasks"]),
        "outcomes": outcomes,
        # A sampler is sent the tensors that were trained; LoRA's are merged into others first.
        "training": _training(facts, row, total, None if kind == "lora" else _BYTES[model["dtype"]]),
        # A cell's seconds are those of its training and its scoring together.
        "cost": {"seconds": None, "date": None, "hardware": None, "versions": {}},
    }


def _score(wins: int, tasks: int) -> dict[str, Any]:
    """What a cell knows of a score: wins alone."""
    return {
        "success": wins / tasks,
        "interval": wilson(wins, tasks).to_json(),
        "episodes": tasks,
        "tasks": tasks,
        "mean_turns": None,
        "invalid_actions": None,
        "mean_tokens": None,
        "by_type": {},
    }


def _training(facts: Mapping[str, Any], row: Mapping[str, Any], total: int | None, width: int | None) -> dict[str, Any]:
    """What a cell knows of its training; `width` is the bytes of a number that a sampler is sent."""
    return {
        "trained_parameters": row["trained_parameters"],
        "total_parameters": total,
        "iterations": facts["iterations"],
        "sampled_tokens": None,
        "update_seconds": row["cost"]["update_seconds"],
        "update_ratio": None,
        "peak_bytes": None,
        "peak_ratio": None,
        "optimizer_bytes": None,
        "delta_bytes": None,
        "sync_bytes": None if width is None else width * row["trained_parameters"],
    }
