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
from tests import forked
from training.tune import CELLS, TuneConfig, cells_of, main, open_folder, table_lines


def test_every_target_meets_every_rate_and_seed():
    cells = cells_of(load(TuneConfig, ["targets=middle,full", "rates=1e-3,3e-3", "seeds=0,1"]))
    assert len({cell.name for cell in cells}) == len(cells) == 8
    assert [cell.seed for cell in cells] == [0] * 4 + [1] * 4


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
