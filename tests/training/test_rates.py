"""The rates that searches found: which is taken, and who is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from envs.config import load, save
from training import rates
from training.cells import SweepConfig
from training.config import RunConfig
from training.sweep import cells_of
from training.tune import TuneConfig, open_folder

TINY = rates.FOLDER / "alfworld-gigpo"


def config(*words: str) -> SweepConfig:
    return load(SweepConfig, ["data=generated", *words])


@pytest.mark.parametrize(
    ("words", "search"),
    [
        ("", "alfworld-gigpo"),
        ("data=somewhere budget=0.15 seeds=0", "alfworld-gigpo"),
        ("model=tiny-llama", "alfworld-gigpo-llama"),
        ("env=math env.data= model=warm algorithm=grpo", "math-grpo"),
        ("env=math env.data= model=warm algorithm=rloo", None),
        ("iterations=31", None),
        ("train.temperature=1", None),
        # Who gives a rate means it.
        ("train.learning_rate=2e-4", None),
        ("train.full_learning_rate=1e-5", None),
    ],
)
def test_a_search_is_kept_for_one_world_policy_and_training(words: str, search: str | None):
    found = rates.kept_search(config(*words.split()))
    assert (found.name if found else None) == search


def test_every_kept_search_is_found_and_read():
    for path in rates.FOLDER.iterdir():
        best = rates.best_of(path, 8)
        assert {"3", "full"} <= set(best)
        assert rates.kept_search(load(TuneConfig, [f"config={path / 'config.yaml'}"])) == path


GAMES = "env=alfworld data=generated tuning_tasks=400"
SEARCHES = {
    "alfworld-gigpo": GAMES,
    "alfworld-gigpo-llama": f"{GAMES} model=tiny-llama",
    "alfworld-gigpo-qwen2": f"{GAMES} model=tiny-qwen2",
    "math-grpo": "env=math model=warm algorithm=grpo tuning_tasks=400",
    "code-grpo": "env=code model=warm model.max_reply_tokens=64 iterations=8 train.temperature=0.7 algorithm=grpo "
    "tuning_tasks=300",
}


@pytest.mark.parametrize("name", [path.name for path in rates.FOLDER.iterdir()])
def test_a_kept_search_can_be_gone_on_with(name: str, tmp_path: Path):
    out = shutil.copytree(rates.FOLDER / name, tmp_path / "search")
    assert open_folder(load(TuneConfig, [*SEARCHES[name].split(), f"out={out}"])) == out


def test_a_study_takes_the_kept_rates_unless_told_otherwise():
    def found(*words: str) -> dict[str, float]:
        return {cell.name: cell.rate for cell in cells_of(config("seeds=0", "lora=", "selectors=none", *words))}

    best = rates.best_of(TINY, 8)
    assert found() == found(f"rates={TINY}")
    assert rates.best_of(rates.FOLDER / "math-grpo", 8).keys() == {"0", "3", "7", "full", "lora:3"}
    assert [found()[arm] for arm in ("0", "2", "7", "full")] == [best["0"], best["3"], best["7"], best["full"]]
    assert set(found("rates=").values()) == {0.0, 1e-3, 3e-5}
    assert found("train.learning_rate=2e-4")["0"] == 2e-4


def test_what_the_arms_are_trained_at_is_said(tmp_path: Path):
    line = rates.told({"base": 0.0, "full": 3e-5, "3": 1e-3, "0": 3e-4, "4": 1e-3}, tmp_path / "search")
    assert line == (
        f"learning rates: 3e-05 for full, 0.001 for 3 4, 0.0003 for 0 (found by the search in {tmp_path / 'search'})"
    )
    assert "No search for them was given" in rates.told({"3": 1e-3}, None)


def test_a_run_is_told_where_another_rate_was_found_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rates, "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search").mkdir()
    save(load(TuneConfig, []), tmp_path / "search" / "config.yaml")
    rows = [{"target": target, "rate": rate, "success": 0.5} for target, rate in (("0", 3e-4), ("3", 1e-3))]
    (tmp_path / "search" / "cells.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = load(RunConfig, [])
    assert rates.advice(run, "0", 8) == (
        "note: layer=0 is trained at 0.001; the search in search found 0.0003 best for it (train.learning_rate=0.0003)"
    )
    assert not any(rates.advice(run, target, 8) for target in ("3", "4", "full", "0,3"))
    assert rates.advice(load(RunConfig, ["train.learning_rate=0.01"]), "0", 8) == ""
