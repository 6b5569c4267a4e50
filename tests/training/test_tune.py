"""The learning-rate search: its cells, its table, and going on where it stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from envs.command import run_command
from envs.config import load
from envs.errors import InputError
from evals.folder import Folder
from tests import forked
from tests.evals.claiming import claimed_elsewhere
from tests.training.guessing import small_model
from training import fitting
from training.cell_run import ROW, own_config
from training.running import CHECKPOINTS
from training.tune import CELLS, TuneConfig, cells_of, main, open_folder, table_lines, train_cell


def test_every_target_meets_every_rate_and_seed():
    cells = cells_of(load(TuneConfig, ["targets=middle,full", "rates=1e-3,3e-3", "seeds=0,1"]))
    assert len({cell.name for cell in cells}) == len(cells) == 8
    assert [cell.seed for cell in cells] == [0] * 4 + [1] * 4


def test_what_is_asked_for_twice_is_trained_once():
    (cell,) = cells_of(load(TuneConfig, ["targets=middle,middle", "rates=1e-3,0.001", "seeds=0,0"]))
    assert cell.name == "middle-0.001-seed0"


def test_what_a_cell_needs_is_what_its_own_target_needs():
    """Neither layer= nor compare= are the search's."""
    config = load(TuneConfig, ["layer=2", "compare=full", "train.frozen=8bit"])
    own = own_config(config, "5", 3, 1e-2)
    assert list(fitting.arms_of(own, 8)) == ["layer=5"]
    kept = fitting.kept(own, small_model(8))
    assert any(".5" in name for name in kept)
    assert not any(".2" in name for name in kept)
    assert (own.seed, own.train.learning_rate, own.train.full_learning_rate) == (3, 1e-2, 1e-2)


@pytest.mark.parametrize(
    "argument", ["rates=fast", "rates=-1e-3", "rates=nan", "seeds=0.5", "rates=", "seeds=", "targets="]
)
def test_words_where_numbers_belong_are_refused(argument: str):
    with pytest.raises(InputError, match=r"with commas between them|is empty"):
        cells_of(load(TuneConfig, [argument]))


def test_the_table_names_the_best_rate_of_each_target():
    rows = [
        {"target": "4", "rate": 1e-3, "success": 0.3},
        {"target": "4", "rate": 3e-3, "success": 0.5},
        {"target": "4", "rate": 3e-3, "success": 0.3},
        {"target": "full", "rate": 1e-3, "success": 0.2},
    ]
    assert table_lines(rows) == [
        "4: best rate 0.003; 0.003: 0.400 (n = 2 seeds), 0.001: 0.300 (n = 1 seeds)",
        "full: best rate 0.001; 0.001: 0.200 (n = 1 seeds)",
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["targets=auto"], "a search needs fixed targets"),
        (["targets=99"], "the model has 8 blocks"),
        (["seeds=1", "iterations=3"], "a search with other settings"),
        (["out={run}"], "holds a run, not a search"),
    ],
)
def test_a_search_refuses_what_it_cannot_do(tmp_path: Path, words: list[str], line: str, capsys: Any):
    run, out = tmp_path / "run", tmp_path / "search"
    run.mkdir()
    (run / "config.yaml").write_text("seed: 7\n")
    (run / "state.json").write_text("{}")
    open_folder(load(TuneConfig, ["iterations=2", f"out={out}"]))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    given = [word.format(run=run) for word in words]
    code = run_command("tune", TuneConfig, main, description="", argv=[f"out={out}", *given])
    assert code == 2
    assert line in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_search_goes_on_with_more_rates_and_seeds(tmp_path: Path):
    first = open_folder(load(TuneConfig, ["rates=1e-3", "seeds=0", f"out={tmp_path / 'search'}"]))
    assert open_folder(load(TuneConfig, ["rates=3e-3", "seeds=1", "jobs=2", f"out={tmp_path / 'search'}"])) == first


def test_a_search_goes_on_that_was_begun_before_a_key_was_there(tmp_path: Path):
    words = ["rates=1e-3", f"out={tmp_path / 'search'}"]
    file = open_folder(load(TuneConfig, words)) / "config.yaml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("idle_seconds")))
    assert len(file.read_text().splitlines()) == len(lines) - 1
    open_folder(load(TuneConfig, words))


def test_two_searches_do_not_work_in_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["data=generated", "targets=middle", "rates=1e-3", f"out={tmp_path / 'search'}"]
    with claimed_elsewhere(open_folder(load(TuneConfig, words))):
        assert run_command("tune", TuneConfig, main, description="", argv=words) == 2
    assert f"another process is writing {tmp_path / 'search'}" in capsys.readouterr().err


def test_with_one_temperature_a_cell_is_scored_at_it_and_leaves_no_checkpoint(tmp_path: Path):
    out = tmp_path / "search"
    words = ["targets=middle", "rates=1e-3", "iterations=1", "tuning_tasks=3", "env.max_turns=2", "temperatures=[0.4]"]
    words += ["data=generated", "train.groups=1", "train.group_size=2", "train.updates=1", f"out={out}"]
    done = forked.run("training.tune", *words)
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in (out / CELLS).read_text().splitlines()]
    played = [json.loads(line) for line in (out / row["cell"] / "episodes.jsonl").read_text().splitlines()]
    tuning = [episode for episode in played if episode["purpose"] == "tuning"]
    assert row["temperature"] == 0.4
    assert {episode["temperature"] for episode in tuning} == {0.4}
    assert row["success"] == sum(episode["won"] for episode in tuning) / 3
    assert len(tuning) == row["tasks"] == 3
    assert (out / row["cell"] / "metrics.jsonl").is_file()
    assert not (out / row["cell"] / CHECKPOINTS).exists()
    assert not (out / row["cell"] / ROW).exists()


def test_a_cell_whose_row_was_never_written_down_is_not_trained_again(tmp_path: Path):
    config = load(TuneConfig, ["targets=middle", "rates=1e-3", f"out={tmp_path / 'search'}"])
    (cell,) = cells_of(config)
    folder = Folder(open_folder(config) / cell.name)
    folder.path.mkdir()
    folder.write_json(ROW, {"cell": cell.name, "success": 0.25})
    assert train_cell(tmp_path / "search", cell) == {"cell": cell.name, "success": 0.25}


@pytest.mark.timeout(1200)
def test_finished_cells_are_not_computed_again(tmp_path: Path):
    out = tmp_path / "search"
    arguments = ["targets=middle", "rates=1e-3,2e-3", "iterations=0", "tuning_tasks=2", "env.max_turns=2", f"out={out}"]
    first = forked.run("training.tune", "data=generated", *arguments)
    assert first.returncode == 0, first.stderr
    rows = [json.loads(line) for line in (out / CELLS).read_text().splitlines()]
    assert {row["rate"] for row in rows} == {1e-3, 2e-3}
    second = forked.run("training.tune", "data=generated", *arguments)
    assert "2 cells, 2 of them done" in second.stdout
    assert len((out / CELLS).read_text().splitlines()) == 2


@pytest.mark.fault
def test_a_killed_search_leaves_no_process_behind(tmp_path: Path):
    words = ["data=generated", "iterations=500", "tuning_tasks=4", "panel_tasks=1", f"out={tmp_path / 'search'}"]
    search = subprocess.Popen(
        [sys.executable, "-m", "training.tune", *words], stdout=subprocess.DEVNULL, start_new_session=True
    )
    group, until = search.pid, time.monotonic() + 120
    while not list(tmp_path.rglob("metrics.jsonl")) and time.monotonic() < until:
        time.sleep(0.2)
    assert len(running(group)) > 1
    search.kill()
    search.wait()
    while running(group) and time.monotonic() < until:
        time.sleep(0.1)
    assert not running(group)


def running(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, owner = file.read_text().rpartition(")")[2].split()[:3]
        except (OSError, IndexError):
            continue
        if owner == str(group) and state != "Z":
            found.append(int(file.parent.name))
    return found
