"""Every reader of files with a maker of valid ones. A new reader is one entry here or in a list that this one takes in.

`write` puts valid files into an empty folder, small ones, so that many can be tried; `read` reads the folder as
Keystone does and uses what it found as far as its next step would.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch

from agents import deltas
from agents.models import choose_dtype, locate_model
from agents.targets import parse
from envs import presets
from envs.config import load, save
from envs.installation import REPOSITORY
from evals import panels, report, study
from evals.delta import card_lines
from evals.evaluation import EPISODES, SCORE, EvaluationFolder
from tests.evals import run_folder, test_studies
from tests.fuzz.reader import Reader, printable, write_json, write_lines
from tests.fuzz.result_readers import EPISODE, RESULT_READERS, TENSORS
from tests.fuzz.world_readers import WORLD_READERS
from training import checkpoint, dry_run, prepare, rates, selection, sweep, tune
from training.config import RunConfig
from training.folder import CONFIG, STATE, RunFolder

PRETRAINED = REPOSITORY / "agents" / "pretrained" / "tiny"


def _write_delta(folder: Path) -> None:
    deltas.save(folder / "delta.safetensors", TENSORS, base_sha256="0" * 64, target="4", details={"env": "alfworld"})


def _read_delta(folder: Path) -> None:
    path = folder / "delta.safetensors"
    tensors, card = deltas.load(path)
    printable(*card_lines(path, tensors, card), card.base_sha256[:12], card.target)
    deltas.diff(tensors, TENSORS)


def _write_checkpoint(folder: Path) -> None:
    checkpoint.save(folder / "checkpoint.safetensors", TENSORS, {"iteration": 3, "history": [{"success": 0.5}]})
    facts = {"lengths": [2, 1], "tasks": ["a", "b"]}
    columns = {
        "tokens": torch.tensor([1, 2, 3]),
        "sampled": torch.tensor([False, True, True]),
        "turn": torch.tensor([0, 0, 0], dtype=torch.int32),
        "logprobs": torch.zeros(3),
        "advantages": torch.zeros(2),
        "old": torch.zeros(2),
    }
    checkpoint.save(folder / "rows.safetensors", columns, facts)


def _read_checkpoint(folder: Path) -> None:
    _, counters = checkpoint.load(folder / "checkpoint.safetensors")
    assert isinstance(counters, dict)
    selection.kept_rows(folder / "rows.safetensors")


def _write_config(folder: Path) -> None:
    save(load(RunConfig, []), folder / CONFIG)


def _read_config(folder: Path) -> None:
    config = load(RunConfig, [f"config={folder / CONFIG}"])
    save(config, folder / "again.yaml")


def _read_panel(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presets, "FOLDER", folder)
        panels.read("alfworld_generated_unseen")
        panel = panels.read("alfworld_valid_seen")
    panel.check_env("alfworld")


def _write_run(folder: Path) -> None:
    run_folder.write(folder, run_folder.summary())
    write_json(folder / STATE, {"inputs": {"base": "0" * 64}, "base": {"evaluation": {"success": 0.5}}})
    write_lines(folder / EPISODES, [EPISODE | {"arm": arm, "purpose": "panel"} for arm in ("base", "layer")])


def _read_run(folder: Path) -> None:
    report.build(folder)


FACTS = {"env": "alfworld", "seed": 3}


def _write_evaluation(folder: Path) -> None:
    write_json(folder / SCORE, {**FACTS, "finished": False, "scores": [], "cost": {"seconds": 1.0}})
    write_lines(folder / EPISODES, [EPISODE | {"task": f"t{number}"} for number in range(5)])


def _read_evaluation(folder: Path) -> None:
    from envs.pool.counts import Counts

    opened = EvaluationFolder.check(folder, FACTS)
    opened.open(FACTS)
    opened.keep(EPISODES, lambda row: True)
    for episode in opened.played().values():
        printable(episode.final_observation)
    opened.add_cost(1.0, Counts())


def _write_study(folder: Path) -> None:
    rows = [
        *test_studies.cells({"base": 0.3, "full": 0.6, "0": 0.35, "1": 0.5, "2": 0.4}, seeds=2, tasks=20),
        *(test_studies.pick("sharp", seed, 2, [0.1, 0.6, 0.9]) for seed in range(2)),
    ]
    write_json(folder / study.FACTS, test_studies.FACTS | {"blocks": 3})
    for row in rows:
        write_json(folder / "cells" / f"{row['cell']}.json", row)


def _read_study(folder: Path) -> None:
    printable(*study.write(folder))


def _write_ranking(folder: Path) -> None:
    arms = {str(number): {"seeds": [0, 1], "success": {"rooms": [0.1 * number, 0.2]}} for number in range(3)}
    panels = {"rooms": {"tasks": 5, "sha256": "f" * 64}}
    write_json(folder / "study.json", {"blocks": 3, "seeds": [0, 1], "panels": panels, "arms": arms})
    shutil.copy(folder / "study.json", folder / "other.json")


def _read_ranking(folder: Path) -> None:
    parse(f"best:2@{folder / 'study.json'}", 3)
    parse(f"worst:1@{folder / 'study.json'}", 3)
    printable(*study.agreement([folder, folder]))


def _write_model(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "warmstart.json"):
        shutil.copy(PRETRAINED / name, folder / name)
    write_json(folder / "tokenizer.json", {})
    shutil.copy(PRETRAINED / "model.safetensors", folder / "model.safetensors")


def _read_model(folder: Path) -> None:
    path = locate_model(str(folder))
    choose_dtype("auto", path)
    prepare.check_layer("3", path)
    prepare.block_count(path)
    dry_run.shape_of(load(RunConfig, [f"model={folder}"]))


def _write_rates(folder: Path) -> None:
    rows = [{"target": target, "rate": 1e-3, "success": 0.5} for target in ("middle", "full", "lora:1")]
    write_lines(folder / tune.CELLS, rows)


def _read_rates(folder: Path) -> None:
    rate = rates.rates_of(load(sweep.SweepConfig, []), folder, 8, full=True)
    assert all(math.isfinite(rate(arm)) for arm in ("base", "full", "3"))


def _read_lines(folder: Path) -> None:
    run = RunFolder(folder)
    run.read_json("state.json")
    run.keep("metrics.jsonl", lambda row: row["iteration"] < 20)


def _write_panel(folder: Path) -> None:
    shutil.copytree(REPOSITORY / "configs" / "panel", folder / "panel")


READERS = [
    *WORLD_READERS,
    *RESULT_READERS,
    Reader("delta", _write_delta, _read_delta),
    Reader("checkpoint", _write_checkpoint, _read_checkpoint),
    Reader("configuration", _write_config, _read_config),
    Reader("panel", _write_panel, _read_panel),
    Reader("run folder", _write_run, _read_run, only=("*.json", "*.jsonl", "config.yaml")),
    Reader("run folder to resume", _write_run, _read_lines, only=("state.json", "metrics.jsonl")),
    Reader("evaluation folder", _write_evaluation, _read_evaluation),
    Reader("study", _write_study, _read_study),
    Reader("ranking of blocks", _write_ranking, _read_ranking),
    Reader("model folder", _write_model, _read_model, only=("config.json",)),
    Reader("learning rates", _write_rates, _read_rates),
]
