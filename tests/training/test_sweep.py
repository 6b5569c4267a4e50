"""The study: its cells and their order, its cost told first, going on cell by cell, here and on Ray."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agents.starts import start_folder
from envs.command import run_command
from envs.config import load
from envs.errors import InputError
from evals.studies import arms_of, read_cells
from tests import forked
from tests.training.guessing import write_model
from training import selectors
from training.cells import CELLS, Cell, SweepConfig, cost_of
from training.executors import run_cells
from training.prepare import block_count
from training.sweep import cells_of, main, open_folder, rates_of

# Whole studies, in processes of their own: seconds each, but much more where the machine is busy.
pytestmark = pytest.mark.timeout(1200)

SMALL = [
    *("env=tests.training.guessing:Guess", "iterations=1", "panel_tasks=6", "tuning_tasks=4", "train.groups=2"),
    *(
        "train.group_size=4",
        "train.learning_rate=1e-2",
        "train.full_learning_rate=1e-3",
        "train.beta=0",
        "selectors=auto",
        # The model's whole context is no longer than the longest reply that is allowed by default.
        "model.max_reply_tokens=4",
        "temperatures=[1]",
    ),
]


def config(*words: str) -> SweepConfig:
    return load(SweepConfig, ["data=generated", *words])


def test_every_state_of_a_study_is_useful():
    cells = cells_of(config("layers=all", "seeds=3,5"))
    first = [cell for cell in cells if cell.seed == 3]
    assert cells[: len(first)] == first
    asked = [name for name in selectors.names() if name != "random"]
    assert [cell.name for cell in first] == ["base", "full", "3", "lora:3", *"012", *"4567", *asked]
    assert [cell.kind for cell in first] == ["arm"] * 11 + ["selector"] * len(asked)
    assert len({cell.file for cell in cells}) == len(cells) == 2 * len(first)
    assert not any(set(cell.file) & set(":/\\ ") for cell in cells)


def test_rates_are_those_of_the_arms():
    rates = {cell.name: cell.rate for cell in cells_of(config("seeds=0", "train.learning_rate=5e-4"))}
    assert (rates["3"], rates["0"], rates["lora:3"], rates["full"], rates["base"]) == (5e-4, 5e-4, 5e-4, 3e-5, 0.0)


def test_a_search_gives_each_class_its_rate(tmp_path: Path):
    found = {"middle": (1e-3, 2e-3), "last": (5e-4, 1e-4), "full": (3e-5, 1e-5), "lora:middle": (4e-3, 1e-3)}
    rows = [
        {"target": target, "rate": rate, "success": 0.5 - 0.1 * place}
        for target, rates in found.items()
        for place, rate in enumerate(rates)
    ]
    (tmp_path / "cells.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rate = rates_of(config(f"rates={tmp_path}"), 8)
    assert [rate(arm) for arm in ("base", "0", "2", "3", "7", "full", "lora:3")] == [
        0,
        1e-3,
        1e-3,
        1e-3,
        5e-4,
        3e-5,
        4e-3,
    ]
    with pytest.raises(InputError, match="holds no search for 3"):
        rates_of(config(f"rates={tmp_path / 'nowhere'}"), 8)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["seeds=one"], "seeds must be whole numbers"),
        (["layers=full"], "a study trains whole blocks"),
        (["layers=2.mlp"], "a study trains whole blocks"),
        (["layers=9"], "the model has 8 blocks, numbered 0 to 7"),
        (["lora=9"], "the model has 8 blocks, numbered 0 to 7"),
        (["selectors=autto"], "unknown selector 'autto'. Did you mean 'auto'"),
        (["executor=rey"], "executor must be one of local, ray, got 'rey'"),
    ],
)
def test_a_study_refuses_what_it_cannot_do(words: list[str], line: str, tmp_path: Path, capsys: Any):
    out = tmp_path / "study"
    given = ["data=generated", f"out={out}", *words]
    assert run_command("sweep", SweepConfig, main, description="", argv=given) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()


def test_a_study_may_be_extended_but_not_changed(tmp_path: Path):
    out = tmp_path / "study"
    open_folder(config("layers=2", "seeds=0", f"out={out}"), out)
    open_folder(config("layers=all", "seeds=0,1", "lora=", "jobs=2", f"out={out}"), out)
    with pytest.raises(InputError, match="a study with other settings"):
        open_folder(config("iterations=3", f"out={out}"), out)


def test_a_study_keeps_the_policy_that_was_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Another machine has no such policy in its cache and would make another one."""
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "study"
    words = [*SMALL, "model=warm", "model.max_reply_tokens=4", f"out={out}", "seeds=0", "lora=", "plan=true"]
    made = write_model(start_folder(load(SweepConfig, words).env), 2)
    (made / "warmstart.json").write_text(json.dumps({"settings": {"out": str(made), "seed": 0}}))
    assert run_command("sweep", SweepConfig, main, description="", argv=words) == 0
    shutil.rmtree(tmp_path / "cache")
    assert run_command("sweep", SweepConfig, main, description="", argv=words) == 0
    assert capsys.readouterr().out.count("5 cells, 0 of them done") == 2
    assert "path: warm" in (out / "config.yaml").read_text()
    assert json.loads((out / "start" / "warmstart.json").read_text()) == {"settings": {"out": "", "seed": 0}}
    assert not (tmp_path / "cache").exists()


def test_cells_of_different_starts_are_not_compared(tmp_path: Path):
    (tmp_path / CELLS).mkdir()
    for seed in (0, 1):
        row = {"cell": "base", "seed": seed, "arm": "base", "learning_rate": None, "panels": {}, "cost": {"seconds": 1}}
        (tmp_path / CELLS / f"base-seed{seed}.json").write_text(json.dumps(row | {"base_sha256": str(seed) * 64}))
    with pytest.raises(InputError, match=r"2 different policies \(000000000000, 111111111111\)"):
        arms_of(read_cells(tmp_path))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("sweep") / "model", 2)


def sweep(model: Path, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.run("training.sweep", *SMALL, f"model={model}", f"out={out}", *words)


def outside_cost(out: Path) -> Any:
    content = json.loads((out / "study.json").read_text())
    content.pop("cost")
    return content


def test_an_interrupted_study_equals_an_uninterrupted_one(model: Path, tmp_path: Path):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    whole = sweep(model, tmp_path / "whole", "seeds=0,1", "jobs=2")
    assert whole.returncode == 0, whole.stderr
    for part in (
        "12 cells, 0 of them done",
        "the others take about",
        "select-auto-seed1: picks",
        "The base policy solves",
    ):
        assert part in whole.stdout
    command = [
        sys.executable,
        "-m",
        "training.sweep",
        *SMALL,
        f"model={model}",
        f"out={tmp_path / 'parts'}",
        "seeds=0,1",
    ]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 200
    while len(list((tmp_path / "parts" / CELLS).glob("*.json"))) < 3 and time.monotonic() < until:
        time.sleep(0.1)
    killed.kill()
    killed.wait()
    done = {path.name: path.read_bytes() for path in (tmp_path / "parts" / CELLS).glob("*.json")}
    assert 3 <= len(done) < 12
    # Only the committed files travel to another machine.
    clone = tmp_path / "clone"
    shutil.copytree(tmp_path / "parts", clone, ignore=shutil.ignore_patterns("work", "*.part"))
    rest = sweep(model, clone, "seeds=0,1", "jobs=2")
    assert rest.returncode == 0, rest.stderr
    assert f"12 cells, {len(done)} of them done" in rest.stdout
    assert all((clone / CELLS / name).read_bytes() == content for name, content in done.items())
    assert outside_cost(clone) == outside_cost(tmp_path / "whole")
    content = outside_cost(clone)
    assert content["seeds"] == [0, 1]
    assert set(content["arms"]) == {"base", "full", "0", "1", "lora:0"}
    assert {"random", "middle", "auto"} <= content["selectors"].keys()


def test_the_plan_tells_the_cost_and_trains_nothing(model: Path, tmp_path: Path):
    planned = sweep(model, tmp_path / "study", "plan=true", "lora=")
    assert planned.returncode == 0, planned.stderr
    assert "25 cells, 0 of them done" in planned.stdout
    assert "s a cell on one thread" in planned.stdout
    assert not list((tmp_path / "study" / CELLS).glob("*.json"))


def test_what_may_race_is_planned_at_its_whole_budget(model: Path, tmp_path: Path):
    """Other cells are as dear as those of their sort that are done."""
    done = {"base": 20.0, "0": 90.0, "1": 110.0, "select-fisher": 30.0}
    (tmp_path / CELLS).mkdir()
    for name, seconds in done.items():
        what = {"selector": "fisher", "chosen": [0]} if name.startswith("select") else {"arm": name, "panels": {}}
        row = {"cell": name, "seed": 0, "cost": {"seconds": seconds}, **what}
        (tmp_path / CELLS / f"{name}-seed0.json").write_text(json.dumps(row))
    settings = load(SweepConfig, [*SMALL, f"model={model}", "budget=0.2"])
    waiting = [Cell("arm", "base", 1), Cell("arm", "full", 1), Cell("selector", "norm", 1)]
    waiting += [Cell("selector", "halving", 1), Cell("selector", "auto", 1)]
    race = 0.2 * block_count(model) * 100
    assert cost_of(settings, tmp_path, waiting) == pytest.approx([20, 100, 30, race, race])


def test_two_sweeps_do_not_work_in_one_folder(model: Path, tmp_path: Path):
    (tmp_path / "study" / "work").mkdir(parents=True)
    made = sweep(model, tmp_path / "other", "plan=true", "lora=")
    assert made.returncode == 0, made.stderr
    shutil.copytree(tmp_path / "other", tmp_path / "study", dirs_exist_ok=True)
    with (tmp_path / "study" / "work" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = sweep(model, tmp_path / "study", "seeds=0", "lora=")
    assert refused.returncode == 2
    assert "another sweep is at work there" in refused.stderr
    assert not list((tmp_path / "study" / CELLS).glob("*.json"))


def square(number: int) -> dict[str, Any]:
    return {"number": number, "square": number**2}


def test_a_study_on_ray_has_the_same_cells(model: Path, tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'keystone-rl[ray]'")
    words = ("seeds=0", "layers=0", "lora=", "full=false", "selectors=none", "jobs=2")
    for executor in ("local", "ray"):
        run = sweep(model, tmp_path / executor, f"executor={executor}", *words)
        assert run.returncode == 0, run.stderr
    assert outside_cost(tmp_path / "local") == outside_cost(tmp_path / "ray")


def test_a_missing_ray_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'keystone-rl\[ray\]'"):
        run_cells(square, [(1,)], 1, "ray")


def test_a_cells_file_is_named_after_its_arm_and_seed():
    assert Cell("arm", "lora:3", 4).file == "lora_3-seed4"
    assert Cell("selector", "auto", 0).file == "select-auto-seed0"
