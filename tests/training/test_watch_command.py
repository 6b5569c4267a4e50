"""The main job where training goes wrong: named as it runs and in the report, rolled back, stopped, gone on with."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests import calling
from tests.training.guessing import write_model
from training.folder import LOG, METRICS, REPORT, SUMMARY, RunFolder

pytestmark = pytest.mark.timeout(600)

call = partial(calling.call, "training.run")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A run whose learning rate is far too high."""
    return [
        *(
            "env=tests.training.guessing:Guess",
            f"model={write_model(tmp_path / 'model', 3)}",
            "model.max_reply_tokens=4",
        ),
        *("layer=1", "compare=none", "iterations=3", "panel_tasks=4", "tuning_tasks=2", "temperatures=[1]"),
        *("train.groups=2", "train.group_size=4", "train.updates=2", "train.learning_rate=1"),
    ]


def test_it_is_named_everywhere_and_the_weights_go_back(words: list[str], tmp_path: Path):
    folder = tmp_path / "run"
    done = call(*words, "watch.kl=0.05", "watch.roll_back=true", "watch.limit=0", f"out={folder}")
    assert done.returncode == 0, done.stderr
    watched = json.loads((folder / SUMMARY).read_text())["watch"]["layer"]
    assert watched["found"]["kl"]["iterations"] == watched["rolled_back"] == [1, 2, 3]
    assert watched["skipped_updates"] == 3
    first = watched["found"]["kl"]["first"]
    assert "from the policy that sampled, above 0.05" in first
    rows = list(RunFolder(folder).rows(METRICS))
    assert rows[0]["found"]["kl"] == first
    # Every iteration began with the weights that it began with, so the first update, on-policy, was as it should be.
    assert all(row["updates"] == row["skipped_updates"] == 1 for row in rows)
    assert f"WRONG: kl: {first}" in (folder / LOG).read_text()
    assert "weights rolled back" in (folder / LOG).read_text()
    assert "What went wrong in training" in (folder / REPORT).read_text()
    assert first in (folder / REPORT).read_text()
    assert f"layer: kl in 3 iterations, first in iteration 1: {first}." in done.stdout


def test_it_stops_with_one_line_and_goes_on_where_it_was(words: list[str], tmp_path: Path):
    folder = tmp_path / "run"
    done = call(*words, "watch.kl=0.05", "watch.limit=2", f"out={folder}")
    assert done.returncode == 1
    # Libraries may have said something of their own before.
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: training stopped after iteration 2: something went wrong in 2 iterations in a row")
    assert len(list(RunFolder(folder).rows(METRICS))) == 2
    assert not (folder / SUMMARY).exists()
    again = call(f"resume={folder}")
    assert "training stopped after iteration 3: something went wrong in 3 iterations" in again.stderr
    assert [row["iteration"] for row in RunFolder(folder).rows(METRICS)] == [0, 1, 2]
