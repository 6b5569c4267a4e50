"""The study: its cells and their order, its cost told first, going on cell by cell, here and on Ray."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import training.sweep
from agents.starts import start_folder
from envs.command import run_command
from envs.config import load
from envs.errors import InputError
from envs.installation import REPOSITORY
from evals.folder import Folder
from evals.panels import Panel
from evals.studies import arms_of, read_cells
from tests import forked
from tests.training.guessing import write_model
from training import selectors
from training.cell_run import ROW, kept_row
from training.cells import CELLS, Cell, SweepConfig, compute, cost_of, scoring_episodes
from training.executors import run_cells
from training.folder import RunFolder
from training.prepare import block_count
from training.rates import rates_of
from training.sweep import cells_of, main, open_folder

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


def test_what_is_asked_for_twice_is_one_cell():
    words = ["full=false", "lora=", "selectors=prior,prior"]
    once = cells_of(config("layers=0,3", "seeds=0", *words))
    assert [cell.file for cell in once] == ["base-seed0", "3-seed0", "0-seed0", "select-prior-seed0"]
    assert cells_of(config("layers=0,3,0-0", "seeds=0,0", *words)) == once


@pytest.mark.parametrize("words", [["selectors=none"], ["full=false", "selectors=prior"]])
def test_rounded_weights_allow_no_arm_that_needs_them_whole(words: list[str]):
    with pytest.raises(InputError, match=r"train.frozen=8bit .* needs full=false selectors=none"):
        cells_of(config("train.frozen=8bit", "seeds=0", "lora=", *words))
    cells = cells_of(config("train.frozen=8bit", "seeds=0", "lora=", "full=false", "selectors=none", "layers=0"))
    assert [cell.layer for cell in cells] == ["middle", "0"]


def test_a_search_gives_each_class_its_rate(tmp_path: Path):
    found = {"middle": (1e-3, 2e-3), "last": (5e-4, 1e-4), "full": (3e-5, 1e-5), "lora:middle": (4e-3, 1e-3)}
    rows = [
        {"target": target, "rate": rate, "success": 0.5 - 0.1 * place}
        for target, rates in found.items()
        for place, rate in enumerate(rates)
    ]
    (tmp_path / "cells.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rate = rates_of(config(), tmp_path, 8, full=True)
    assert [rate(arm) for arm in ("base", "0", "2", "3", "7", "full", "lora:3")] == [
        0,
        1e-3,
        1e-3,
        1e-3,
        5e-4,
        3e-5,
        4e-3,
    ]
    # Selectors choose for the rate that blocks are trained with.
    cells = cells_of(config(f"rates={tmp_path}", "seeds=0", "lora=", "selectors=auto,prior"))
    assert {cell.name: cell.rate for cell in cells if cell.kind == "selector"} == {"auto": 1e-3, "prior": 1e-3}
    (tmp_path / "cells.jsonl").write_text(json.dumps(rows[-1]) + "\n")
    with pytest.raises(InputError, match="holds no search for 3"):
        cells_of(config(f"rates={tmp_path}", "lora="))
    with pytest.raises(InputError, match=r"nowhere: there is no search, which training.tune out="):
        cells_of(config(f"rates={tmp_path / 'nowhere'}", "lora="))


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


def test_a_plan_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "study"
    few = ["layers=0", "seeds=0", "full=false", "lora=", "selectors=none"]
    words = [*SMALL, f"model={write_model(tmp_path / 'model', 2)}", *few, f"out={out}", "plan=true"]
    for iterations in ("iterations=1", "iterations=2"):
        assert run_command("sweep", SweepConfig, main, description="", argv=[*words, iterations]) == 0
    assert capsys.readouterr().out.count("2 cells, 0 of them done") == 2
    # Not even a starting policy is made for it.
    assert run_command("sweep", SweepConfig, main, description="", argv=[*words, "model=warm"]) == 2
    assert "has no starting policy yet. Make it: python -m training.warmstart" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def row_of(name: str, seed: int, rate: float | None) -> dict[str, Any]:
    what = {"selector": name[7:], "chosen": [0]} if name.startswith("select-") else {"arm": name, "panels": {}}
    return {"cell": f"{name}-seed{seed}", "seed": seed, "learning_rate": rate, "cost": {"seconds": 1.0}, **what}


@pytest.mark.parametrize(("name", "rate"), [("3", 2e-3), ("full", 1e-3), ("select-prior", 2e-3)])
def test_a_study_does_not_go_on_at_other_learning_rates(name: str, rate: float, tmp_path: Path, capsys: Any):
    """Which rates a search finds is no key, and so the configuration alone cannot tell."""
    search, out = tmp_path / "search", tmp_path / "study"
    for folder in (search, out / CELLS):
        folder.mkdir(parents=True)
    found = [{"target": target, "rate": 1e-3 if target == "middle" else 3e-5} for target in ("middle", "full")]
    (search / "cells.jsonl").write_text("".join(json.dumps(one | {"success": 0.5}) + "\n" for one in found))
    words = ["data=generated", "seeds=1", "lora=", "layers=3", "selectors=prior", f"rates={search}", "plan=true"]
    open_folder(config(*words), fresh := tmp_path / "fresh")
    shutil.copytree(fresh, out, dirs_exist_ok=True)
    for cell, own in {"base": None, "3": 1e-3, "full": 3e-5, "select-prior": 1e-3, "select-auto": 9.0}.items():
        (out / CELLS / f"{cell}-seed0.json").write_text(json.dumps(row_of(cell, 0, own)))
    words.append(f"out={out}")
    assert run_command("sweep", SweepConfig, main, description="", argv=words) == 0
    assert "4 cells, 0 of them done" in capsys.readouterr().out
    (out / CELLS / f"{name}-seed0.json").write_text(json.dumps(row_of(name, 0, rate)))
    assert run_command("sweep", SweepConfig, main, description="", argv=words) == 2
    said = capsys.readouterr().err
    assert f"the cell {name}-seed0 has the learning rate {rate:g}" in said
    assert said.count("\n") == 1


GAMES = "env=alfworld data=generated panel=alfworld_generated_unseen panels=alfworld_valid_seen panel_data=anywhere"
STUDIES = {
    "alfworld-gigpo": GAMES,
    "alfworld-gigpo-llama": f"{GAMES} model=tiny-llama lora=",
    "alfworld-gigpo-qwen2": f"{GAMES} model=tiny-qwen2 lora=",
    "math-grpo": "env=math model=warm algorithm=grpo",
    "code-grpo": "env=code model=warm model.max_reply_tokens=64 iterations=8 panel_tasks=300 train.temperature=0.7 "
    "algorithm=grpo",
}


@pytest.mark.parametrize("name", STUDIES)
def test_the_studies_that_come_with_keystone_can_be_gone_on_with(name: str, tmp_path: Path, capsys: Any):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    out = shutil.copytree(REPOSITORY / "evals" / "results" / "studies" / name, tmp_path / "study")
    rows = [(row.get("arm") or "", row["seed"]) for row in read_cells(out)]
    words = [*STUDIES[name].split(), "layers=all", "budget=0.15", "plan=true", f"out={out}"]
    seeds = ",".join(map(str, sorted({seed for _, seed in rows})))
    assert run_command("sweep", SweepConfig, main, description="", argv=[*words, f"seeds={seeds}"]) == 0
    said = capsys.readouterr().out
    assert f"cells, {len(rows)} of them done" in said
    assert f"found by the search in evals/results/rates/{name})" in said


def test_a_study_keeps_the_policy_that_was_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Another machine has no such policy in its cache and would make another one."""
    monkeypatch.setattr(training.sweep, "_compute", lambda *_: 0)
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "study"
    words = [*SMALL, "model=warm", "model.max_reply_tokens=4", f"out={out}", "seeds=0", "lora="]
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


def test_an_arm_has_one_learning_rate(tmp_path: Path):
    (tmp_path / CELLS).mkdir()
    for seed, rate in enumerate((1e-3, 1e-4)):
        (tmp_path / CELLS / f"3-seed{seed}.json").write_text(json.dumps(row_of("3", seed, rate)))
    with pytest.raises(InputError, match=r"cells of 3 were trained at the learning rates 0.001 and 0.0001"):
        arms_of(read_cells(tmp_path))


def test_what_scoring_plays_is_counted_by_temperatures_and_panels():
    panel, tuning = Panel("drawn", ("a", "b", "c")), Panel("tuning", ("d", "e"))
    one, three = (config(f"temperatures={temperatures}") for temperatures in ("[0.4]", "[0,0.4,1]"))
    assert scoring_episodes(one, panel, tuning) == 3
    assert scoring_episodes(three, panel, tuning) == 3 * 2 + 3
    assert scoring_episodes(config("temperatures=[1]", "panels=alfworld_generated_unseen"), panel, tuning) == 3 + 300


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("sweep") / "model", 2)


def sweep(model: Path, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.run("training.sweep", *SMALL, f"model={model}", f"out={out}", *words)


def test_a_study_can_start_from_a_model_of_the_hub(tmp_path: Path):
    """The hub's cache is all that is asked: nothing is fetched that is there."""
    kept = tmp_path / "hub" / "models--somebody--small"
    write_model(kept / "snapshots" / ("0" * 40), 2)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0" * 40)
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    few = ["seeds=0", "layers=0", "full=false", "lora=", "selectors=none"]
    words = ["model=somebody/small", *few, f"out={tmp_path / 'study'}"]
    # A fresh interpreter, as where the cache lies is read when its library is imported.
    command = [sys.executable, "-m", "training.sweep", *SMALL, *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 cells, 0 of them done" in done.stdout
    facts = json.loads((tmp_path / "study" / "facts.json").read_text())
    assert (facts["family"], facts["blocks"]) == ("qwen3", 2)


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
    # What lies between goes once its row is written.
    assert [path.name for path in (clone / "work").iterdir()] == ["config.yaml"]
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
    open_folder(load(SweepConfig, [*SMALL, f"model={model}"]), tmp_path / "other")
    shutil.copytree(tmp_path / "other", tmp_path / "study", dirs_exist_ok=True)
    held = Folder(tmp_path / "study")
    held.claim()
    refused = sweep(model, tmp_path / "study", "seeds=0", "lora=")
    assert refused.returncode == 2
    assert f"another process is writing {tmp_path / 'study'}" in refused.stderr
    assert not list((tmp_path / "study" / CELLS).glob("*.json"))


def square(number: int) -> dict[str, Any]:
    return {"number": number, "square": number**2}


def test_a_cell_that_was_computed_and_never_written_down_is_not_computed_again(tmp_path: Path):
    cell, row = Cell("arm", "3", 0, 1e-3), row_of("3", 0, 1e-3)
    folder = RunFolder(tmp_path / cell.folder)
    folder.path.mkdir()
    assert kept_row(folder) is None
    folder.write_json(ROW, row)
    assert compute("no: settings", cell, str(tmp_path)) == row
    folder.write_text(ROW, '{"cell"')
    assert kept_row(folder) is None
    # What another search's rate has begun is not gone on with.
    assert cell.folder != Cell("arm", "3", 0, 1e-4).folder
    assert cell.file == Cell("arm", "3", 0, 1e-4).file


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
