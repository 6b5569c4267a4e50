"""Which weights are kept for a comparison at equal cost, and that the right ones are found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from envs.config import load
from tests.training.guessing import write_model
from training.config import RunConfig
from training.equal_cost import QUANTITIES, Snapshots, compare, spent, total
from training.folder import RunFolder
from training.prepare import check, load_model, open_run

COSTS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=8)


def history_of(costs: list[tuple[int, int]]) -> list[dict[str, Any]]:
    return [{"sampled_tokens": tokens, "cost": {"seconds": float(seconds)}} for tokens, seconds in costs]


def train(snapshots: Snapshots, history: list[dict[str, Any]]) -> None:
    """Weights that say after how many iterations they were kept."""
    for done in range(1, len(history) + 1):
        snapshots.keep(history[:done], {"weight": torch.full((2,), float(done))})


def test_what_was_spent_adds_up() -> None:
    history = history_of([(5, 1), (7, 2)])
    assert spent(history, "tokens").tolist() == [5.0, 12.0]
    assert total(history, "wall_clock") == 3.0


@given(costs=COSTS, other=COSTS)
def test_both_arms_find_their_last_weights_within_the_budget(
    tmp_path_factory: Any, costs: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("arms")
    first, second = history_of(costs), history_of(other)
    numbered = Snapshots(folder / "layer")
    train(numbered, first)
    bounded = Snapshots(folder / "full", {kind: total(first, kind) for kind in QUANTITIES})
    train(bounded, second)
    for kind in QUANTITIES:
        for snapshots, history in ((numbered, first), (bounded, second)):
            budget = min(total(first, kind), total(second, kind))
            if total(history, kind) <= budget:
                continue
            expected = sum(value <= budget for value in spent(history, kind))
            tensors, iterations = snapshots.within(history, kind, budget)
            assert iterations == expected
            assert [value.tolist() for value in tensors.values()] == [[float(expected)] * 2] * bool(expected)


def test_weights_that_are_lost_are_not_taken_for_the_bases(tmp_path: Path) -> None:
    history = history_of([(1, 1)] * 4)
    kept = Snapshots(tmp_path / "layer")
    train(kept, history)
    assert kept.within(history, "tokens", 0.5) == ({}, 0)
    assert kept.within(history, "tokens", 3.0)[1] == 3
    (tmp_path / "layer" / "after-00003.safetensors").unlink()
    assert kept.within(history, "tokens", 3.0) == (None, 3)
    (tmp_path / "layer" / "after-00002.safetensors").write_bytes(b"spoilt")
    assert kept.within(history, "tokens", 2.0) == (None, 2)


def test_a_run_says_which_success_it_does_not_know_and_why(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [
        *("env=tests.training.guessing:Guess", f"model={write_model(tmp_path / 'model', 2)}", "layer=0"),
        *("model.max_reply_tokens=4", "panel_tasks=2", "tuning_tasks=2", "train.groups=1", "train.group_size=2"),
        *("train.updates=1", "iterations=1", "temperatures=[1]", "train.beta=0"),
    ]
    inputs = check(load(RunConfig, words))
    folder.mkdir()
    run = open_run(inputs, load_model(inputs), RunFolder(folder), echo=False)
    history = history_of([(5, 2)] * 3)
    stages = {
        "base": {"evaluation": {"success": 0.0, "interval": [0.0, 0.5]}},
        "layer": {"training": {"history": history}, "evaluation": {"temperature": 1.0}},
        "full": {
            "training": {"history": history[:1]},
            "evaluation": {"temperature": 1.0, "success": 0.5, "interval": [0.0, 1.0]},
        },
    }
    with run.pool:
        found = compare(run, stages, {})
    for kind in QUANTITIES:
        assert found[kind]["layer"]["success"] is None
        assert "the layer arm's weights after 1 iterations were lost" in found[kind]["layer"]["why_null"]
        assert found[kind]["full"]["success"] == 0.5


def test_a_full_arm_keeps_one_file_a_quantity(tmp_path: Path) -> None:
    history = history_of([(1, 1)] * 6)
    train(Snapshots(tmp_path / "full", {"tokens": 3.0, "wall_clock": 4.0}), history)
    assert sorted(file.name for file in (tmp_path / "full").iterdir()) == [
        "tokens.safetensors",
        "wall_clock.safetensors",
    ]
    train(Snapshots(tmp_path / "layer"), history)
    assert len(list((tmp_path / "layer").iterdir())) == 6
