"""What every advantage estimator keeps. A new file in `training/advantages` is found and held to it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import training.advantages
from tests.training.advantages.strategies import REWARDS, play_order, take, turns
from training.advantages import Estimator, find, names

every_estimator = pytest.mark.parametrize("estimator", [find(name) for name in names()], ids=names())


def test_every_file_is_an_estimator() -> None:
    files = {path.stem for path in Path(training.advantages.__file__).parent.glob("*.py")}
    assert {"gigpo", "grpo", "dr_grpo"} <= set(names()) == files - {"__init__", "columns"}


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown algorithm 'gipgo'\. Did you mean 'gigpo'"):
        find("gipgo")


def test_a_shared_file_is_no_estimator() -> None:
    with pytest.raises(ValueError, match="unknown algorithm 'columns'"):
        find("columns")


@every_estimator
def test_options_are_frozen_and_described(estimator: Estimator) -> None:
    config = estimator.Config()
    assert config.__dataclass_params__.frozen
    for option in dataclasses.fields(config):
        assert {"help", "unit", "choices"} <= set(option.metadata)
        assert option.metadata["help"]
        if option.metadata["choices"]:
            assert getattr(config, option.name) in option.metadata["choices"]


@every_estimator
@given(table=turns())
def test_gives_one_finite_number_a_turn_and_leaves_its_input(estimator: Estimator, table: dict[str, list]) -> None:
    copy = {name: list(column) for name, column in table.items()}
    result = estimator.advantages(table, estimator.Config())
    assert result.dtype == np.float64
    assert result.shape == (len(table["group"]),)
    assert np.isfinite(result).all()
    assert table == copy
    np.testing.assert_array_equal(result, estimator.advantages(table, estimator.Config()))


@every_estimator
@given(table=turns(), data=st.data())
def test_turns_may_interleave(estimator: Estimator, table: dict[str, list], data: st.DataObject) -> None:
    rows = play_order(np.array(data.draw(st.permutations(range(len(table["group"]))))), table)
    moved = estimator.advantages(take(table, rows), estimator.Config())
    np.testing.assert_allclose(moved, estimator.advantages(table, estimator.Config())[rows], rtol=1e-6, atol=1e-6)


@every_estimator
@given(table=turns())
def test_groups_never_mix(estimator: Estimator, table: dict[str, list]) -> None:
    config = estimator.Config()
    together = estimator.advantages(table, config)
    for group in set(table["group"]):
        rows = np.array([row for row, name in enumerate(table["group"]) if name == group])
        np.testing.assert_allclose(
            estimator.advantages(take(table, rows), config), together[rows], rtol=1e-6, atol=1e-6
        )


@every_estimator
@given(rewards=st.lists(REWARDS, min_size=1, max_size=5), penalised=st.booleans())
def test_a_lone_episode_gives_zero(estimator: Estimator, rewards: list[float], penalised: bool) -> None:
    number = len(rewards)
    table = {
        "group": [0] * number,
        "episode": [0] * number,
        "anchor": list(range(number)),
        "reward": rewards,
        "penalty": [0.1 * penalised] + [0.0] * (number - 1),
    }
    assert not estimator.advantages(table, estimator.Config()).any()


@every_estimator
@given(reward=REWARDS, length=st.integers(1, 4), episodes=st.integers(1, 4))
def test_equal_episodes_give_zeros(estimator: Estimator, reward: float, length: int, episodes: int) -> None:
    number = length * episodes
    table = {
        "group": ["g"] * number,
        "episode": np.repeat(np.arange(episodes), length),
        "anchor": np.tile(np.arange(length), episodes),
        "reward": [reward] * number,
    }
    assert not estimator.advantages(table, estimator.Config()).any()


@every_estimator
def test_better_episodes_get_more(estimator: Estimator) -> None:
    table = {"group": [0] * 4, "episode": [0, 0, 1, 1], "anchor": list("abab"), "reward": [0, 10, 0, 0]}
    result = estimator.advantages(table, estimator.Config())
    assert result[:2].min() > 0 > result[2:].max()


@every_estimator
def test_no_turns_give_no_advantages(estimator: Estimator) -> None:
    table: dict[str, list] = {"group": [], "episode": [], "anchor": [], "reward": []}
    assert estimator.advantages(table, estimator.Config()).shape == (0,)


@every_estimator
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": None}, "lack the column 'reward'"),
        ({"group": None}, "lack the column 'group'"),
        ({"episode": [0]}, "differ in length: .*episode 1"),
        ({"penalty": [0.0]}, "differ in length: .*penalty 1"),
        ({"reward": [1.0, math.nan]}, "'reward' holds nan at turn 1"),
        ({"reward": [[1.0], [2.0]]}, r"'reward' must have shape \(N,\)"),
        ({"reward": ["much", "little"]}, "'reward' must hold one number a turn"),
        ({"episode_return": [1.0, math.inf]}, "'episode_return' holds inf at turn 1"),
        ({"episode": [0, 0], "episode_return": [1.0, 2.0]}, "'episode_return' differs within an episode"),
        ({"group": [0, None]}, "'group' holds None at turn 1"),
        ({"group": "ab"}, r"'group' must have shape \(N,\)"),
        ({"episode": [[0], [1]]}, r"'episode' holds \[0\] at turn 0"),
    ],
)
def test_bad_columns_are_refused(estimator: Estimator, changes: dict[str, object], message: str) -> None:
    table = {"group": [0, 0], "episode": [0, 1], "anchor": ["a", "b"], "reward": [0.0, 1.0], **changes}
    with pytest.raises(ValueError, match=message):
        estimator.advantages(table, estimator.Config())
