"""GRPO and Dr. GRPO: hand-worked groups."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.training.advantages.strategies import turns
from training.advantages import dr_grpo, grpo
from training.advantages.columns import read


def test_a_group_worked_by_hand() -> None:
    # Returns 1, 0, 0, 1 over episodes of different length: mean 0.5, sample variance 4 * 0.25 / 3 = 1 / 3.
    table = {
        "group": ["task"] * 7,
        "episode": [0, 1, 1, 2, 2, 2, 3],
        "reward": [1, 0, 0, 0, 0, 0, 1],
    }
    centred = np.array([0.5, -0.5, -0.5, -0.5, -0.5, -0.5, 0.5])
    np.testing.assert_allclose(dr_grpo.advantages(table, dr_grpo.Config()), centred, rtol=1e-15)
    scaled = grpo.advantages(table, grpo.Config())
    np.testing.assert_allclose(scaled, centred / (math.sqrt(1 / 3) + 1e-6), rtol=1e-12)
    np.testing.assert_allclose(np.abs(scaled), 0.8660, atol=5e-5)


def test_an_easy_task_is_weighted_up_by_the_deviation() -> None:
    # Seven of eight succeed: the one failure stands at -2.4749 deviations, at -0.875 without them.
    table = {"group": [0] * 8, "episode": range(8), "reward": [1.0] * 7 + [0.0]}
    table = {name: list(column) for name, column in table.items()}
    assert math.isclose(grpo.advantages(table, grpo.Config())[-1], -2.4749, abs_tol=5e-5)
    assert math.isclose(dr_grpo.advantages(table, dr_grpo.Config())[-1], -0.875)


@given(turns())
def test_dr_grpo_is_grpo_times_its_deviation(table: dict[str, list]) -> None:
    table = {**table, "penalty": [0.0] * len(table["group"])}
    columns = read(table, anchors=False)
    scaled, centred = grpo.advantages(table, grpo.Config()), dr_grpo.advantages(table, dr_grpo.Config())
    for group in range(columns.group.max() + 1):
        of_group = columns.group == group
        returns = columns.episode_return[of_group & columns.first_turns]
        deviation = np.std(returns, ddof=1) if len(returns) > 1 else 0.0
        np.testing.assert_allclose(scaled[of_group] * (deviation + 1e-6), centred[of_group], rtol=1e-6, atol=1e-9)
        assert math.isclose(centred[of_group & columns.first_turns].sum(), 0.0, abs_tol=1e-9)


@given(turns(max_groups=1), st.floats(-100, 100))
def test_a_shift_of_all_returns_changes_nothing(table: dict[str, list], shift: float) -> None:
    total = read(table, anchors=False).episode_return
    moved = {**table, "episode_return": total + shift}
    for estimator in (grpo, dr_grpo):
        config = estimator.Config()
        np.testing.assert_allclose(
            estimator.advantages(moved, config), estimator.advantages(table, config), rtol=1e-6, atol=1e-6
        )
