"""Choosing a layer with real episodes and real training: what it costs, and that it goes on after an interruption."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import deltas
from envs.config import load as load_config
from evals.stopping import StoppedError
from tests.training.guessing import write_model
from tests.training.rows import random_rows
from training import selection, selectors
from training.config import RunConfig
from training.folder import METRICS, RunFolder
from training.prepare import check, load_model, open_run
from training.running import CHECKPOINTS, Run

BLOCKS = 4
EPISODES = 3 * 4


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selection") / "model"
    write_model(folder, BLOCKS)
    return folder


@contextmanager
def opened(model_folder: Path, folder: Path, *more: str) -> Iterator[Run]:
    words = [
        *("env=tests.training.guessing:Guess", f"model={model_folder}", "model.max_reply_tokens=4", "iterations=10"),
        *("panel_tasks=8", "tuning_tasks=4", "train.groups=3", "train.group_size=4", "train.updates=2"),
        *("train.learning_rate=1e-2", "train.beta=0.0", *more),
    ]
    inputs = check(load_config(RunConfig, words))
    folder.mkdir(parents=True, exist_ok=True)
    run = open_run(inputs, load_model(inputs), RunFolder(folder), echo=False)
    with run.pool:
        yield run


def without_time(choice: dict[str, Any]) -> dict[str, Any]:
    return {**choice, "cost": {name: value for name, value in choice["cost"].items() if name != "seconds"}}


def test_halving_trains_blocks_and_stays_within_its_budget(model_folder: Path, tmp_path: Path):
    with opened(model_folder, tmp_path, "budget=0.5") as run:
        before = deltas.base_fingerprint(run.model)
        choice = selection.choose(run, "halving")
        assert deltas.base_fingerprint(run.model) == before
    trained = [block["details"]["iterations"] for block in choice["blocks"]]
    # Twenty iterations: four blocks of three each, then two of four more.
    assert sorted(trained) == [3, 3, 7, 7]
    assert trained[1] == 7
    assert choice["cost"]["episodes"] == choice["cost"]["learned_episodes"] == sum(trained) * EPISODES
    assert choice["cost"]["share"] == pytest.approx(0.5)
    assert "choosing cost 50.0% of training every block once" in selection.lines(choice)
    learned = [block["details"]["learned_episodes"] for block in choice["blocks"]]
    assert learned == [EPISODES * iterations for iterations in trained]


def test_a_race_tells_the_success_on_every_task(model_folder: Path, tmp_path: Path):
    with opened(model_folder, tmp_path) as run:
        selecting = selection._Selection(run, "halving")
        shares = np.array(selecting._race(1, 3))
        rows = list(RunFolder(selecting._folder()).rows(METRICS))
    assert shares.shape == (3, 3)
    assert set((4 * shares).ravel().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    np.testing.assert_allclose(shares.mean(axis=1), [row["success"] for row in rows])


@pytest.mark.parametrize("name", selectors.names())
def test_a_selection_that_was_stopped_goes_on_to_the_same_choice(name: str, model_folder: Path, tmp_path: Path):
    with opened(model_folder, tmp_path / "whole", "budget=0.3") as run:
        wanted = selection.choose(run, name)
    seen = 0

    def stops(after: int) -> Any:
        def stop() -> None:
            nonlocal seen
            seen += 1
            if seen == after:
                raise StoppedError

        return stop

    # The number of times that a whole selection looks whether it should stop says where to stop it.
    with opened(model_folder, tmp_path / "counted", "budget=0.3") as run:
        run.stop.check = stops(-1)  # type: ignore[method-assign]
        selection.choose(run, name)
    looks, seen = seen, 0
    for after in (looks // 3, looks // 2):
        with opened(model_folder, tmp_path / "parts", "budget=0.3") as run:
            run.stop.check = stops(after)  # type: ignore[method-assign]
            if after:
                before = deltas.base_fingerprint(run.model)
                with pytest.raises(StoppedError):
                    selection.choose(run, name)
                assert deltas.base_fingerprint(run.model) == before
        seen = 0
    with opened(model_folder, tmp_path / "parts", "budget=0.3") as run:
        run.stop.check = stops(-1)  # type: ignore[method-assign]
        assert without_time(selection.choose(run, name)) == without_time(wanted)
    assert seen <= looks


@pytest.mark.parametrize("context", ["full", "window:1"])
def test_what_choosing_cost_is_counted_in_episodes(context: str, model_folder: Path, tmp_path: Path):
    """Also with a window, where each turn is a row of its own."""
    with opened(model_folder, tmp_path, f"model.context={context}", "env.max_turns=6", "iterations=3") as run:
        cost = selection.choose(run, "fisher")["cost"]
        played = len(run.probe.tasks) * 4
    assert cost["episodes"] == played
    # Of each group with a signal all four episodes were learned from, no more.
    assert cost["learned_episodes"] % 4 == 0
    assert 0 < cost["learned_episodes"] <= played
    assert cost["share"] == pytest.approx((played + cost["learned_episodes"]) / (2 * BLOCKS * 3 * EPISODES))


def test_a_finished_selection_asks_nothing_of_the_model_again(model_folder: Path, tmp_path: Path):
    for _ in range(2):
        with opened(model_folder, tmp_path, "budget=0.5") as run:
            played = []
            run.stop.check = lambda played=played: played.append(1)  # type: ignore[method-assign]
            choice = selection.choose(run, "halving")
    assert len(played) == len([block for block in choice["blocks"] if block["details"]["iterations"]]) + 2
    shutil.rmtree(tmp_path / CHECKPOINTS)
    with opened(model_folder, tmp_path, "budget=0.5") as run:
        assert without_time(selection.choose(run, "halving")) == without_time(choice)


def test_a_selection_whose_scratch_files_are_spoilt_goes_on_to_the_same_choice(model_folder: Path, tmp_path: Path):
    with opened(model_folder, tmp_path, "budget=0.3") as run:
        wanted = selection.choose(run, "adaptation")
    scratch = tmp_path / CHECKPOINTS / selection.FOLDER
    whole = selection.kept_rows(scratch / selection.EPISODES)
    (scratch / selection.EPISODES).write_bytes((scratch / selection.EPISODES).read_bytes()[:-7])
    (scratch / selection.VALUES).write_text('{"block 0"')
    with opened(model_folder, tmp_path, "budget=0.3") as run:
        assert without_time(selection.choose(run, "adaptation")) == without_time(wanted)
    again = selection.kept_rows(scratch / selection.EPISODES)
    assert [row.row.tokens.tolist() for row in again] == [row.row.tokens.tolist() for row in whole]
    assert [row.old.tolist() for row in again] == [row.old.tolist() for row in whole]


def test_kept_rows_come_back_bit_for_bit(tmp_path: Path):
    rows = random_rows(5)
    selection.keep_rows(tmp_path / "rows", rows)
    for one, other in zip(rows, selection.kept_rows(tmp_path / "rows"), strict=True):
        for name in one.row._fields:
            np.testing.assert_array_equal(getattr(one.row, name), getattr(other.row, name))
            assert getattr(one.row, name).dtype == getattr(other.row, name).dtype
        np.testing.assert_array_equal(one.advantages, other.advantages)
        np.testing.assert_array_equal(one.old, other.old)
        assert (one.group, one.member, other.reference) == (other.group, other.member, None)
    selection.keep_rows(tmp_path / "none", [])
    assert selection.kept_rows(tmp_path / "none") == []
