"""Which weights are kept for a comparison at equal cost, and that the right ones are found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from training.equal_cost import QUANTITIES, Snapshots, spent, total

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


def test_a_full_arm_keeps_one_file_a_quantity(tmp_path: Path) -> None:
    history = history_of([(1, 1)] * 6)
    train(Snapshots(tmp_path / "full", {"tokens": 3.0, "wall_clock": 4.0}), history)
    assert sorted(file.name for file in (tmp_path / "full").iterdir()) == [
        "tokens.safetensors",
        "wall_clock.safetensors",
    ]
    train(Snapshots(tmp_path / "layer"), history)
    assert len(list((tmp_path / "layer").iterdir())) == 6
