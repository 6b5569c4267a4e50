"""GiGPO: hand-worked groups and the laws of the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.advantages.strategies import CONFIGS, REWARDS, play_order, slow_gigpo, take, turns
from training.advantages import gigpo, grpo
from training.advantages.columns import read
from training.advantages.gigpo import Config

SQUARE_ROOT_HALF = math.sqrt(0.5)


def columns(group: object, episode: object, anchor: object, reward: object, **more: object) -> dict[str, object]:
    return {"group": group, "episode": episode, "anchor": anchor, "reward": reward, **more}


def test_discounted_returns_of_the_published_check() -> None:
    table = columns([0] * 3, [0] * 3, ["a", "b", "c"], [0, 0, 10])
    np.testing.assert_allclose(read(table, anchors=False).discounted_returns(0.95), [9.025, 9.5, 10.0], rtol=1e-15)


@pytest.mark.parametrize(("scale", "expected"), [("std", 0.7071), ("none", 4.5125)])
def test_anchor_group_of_the_published_check(scale: str, expected: float) -> None:
    # Both episodes start in "start"; nothing else repeats. Step returns there: 9.025 and 0, unbiased std 6.3816.
    table = columns([0] * 4, [0, 0, 0, 1], ["start", "x", "y", "start"], [0, 0, 10, 0])
    config = Config(scale=scale, statistics="episode")
    step_term = gigpo.advantages(table, config) - grpo_term(table, config)
    np.testing.assert_allclose(step_term, [expected, 0, 0, -expected], atol=5e-5)


def grpo_term(table: dict[str, object], config: Config) -> np.ndarray:
    return gigpo.advantages(table, Config(step_weight=0.0, scale=config.scale, statistics=config.statistics))


def test_statistics_over_turns_weigh_long_episodes_more() -> None:
    # Return 10 on two turns, 0 on three: the mean is 4 over turns and 5 over episodes.
    table = columns([7] * 5, [0, 0, 1, 1, 1], list("abcde"), [0, 10, 0, 0, 0])
    by_turn = gigpo.advantages(table, Config(scale="none"))
    by_episode = gigpo.advantages(table, Config(scale="none", statistics="episode"))
    np.testing.assert_allclose(by_turn, [6, 6, -4, -4, -4])
    np.testing.assert_allclose(by_episode, [5, 5, -5, -5, -5])
    # Over turns: sum of squares 2 * 36 + 3 * 16 = 120, sample variance 120 / 4 = 30.
    scaled = gigpo.advantages(table, Config())
    np.testing.assert_allclose(scaled, np.array([6, 6, -4, -4, -4]) / (math.sqrt(30) + 1e-6), rtol=1e-12)


def test_a_whole_group_worked_by_hand() -> None:
    # Episode 0: fridge, table, fridge, pays 10 at its end. Episode 1: fridge, table, pays 0.
    table = columns(["g"] * 5, [0, 0, 0, 1, 1], ["f", "t", "f", "f", "t"], [0, 0, 10, 0, 0])
    # gamma 0.5: step returns 2.5, 5, 10 | 0, 0. Fridge {2.5, 10, 0}: mean 25/6. Table {5, 0}: mean 2.5.
    # Episode term over turns: returns 10, 10, 10, 0, 0: mean 6.
    expected = np.array([4 + 2.5 - 25 / 6, 4 + 2.5, 4 + 10 - 25 / 6, -6 - 25 / 6, -6 - 2.5])
    np.testing.assert_allclose(gigpo.advantages(table, Config(gamma=0.5, scale="none")), expected, rtol=1e-12)
    halved = gigpo.advantages(table, Config(gamma=0.5, scale="none", step_weight=0.5))
    np.testing.assert_allclose(halved, (expected + np.array([4, 4, 4, -6, -6])) / 2, rtol=1e-12)


def test_a_penalty_touches_its_own_turn_only() -> None:
    table = columns([0] * 4, [0, 0, 1, 1], ["a", "b", "a", "b"], [0, 10, 0, 0], penalty=[0, 0, 0, 0.1])
    # Scores 10, 10, 0, -0.1: mean 4.975. Step returns a {9.5, 0}, b {10, -0.1}: the penalty is not discounted into a.
    expected = [5.025 + 4.75, 5.025 + 5.05, -4.975 - 4.75, -5.075 - 5.05]
    np.testing.assert_allclose(gigpo.advantages(table, Config(scale="none")), expected, rtol=1e-12)
    # Episodes count with their first turn's value, so a late penalty leaves the mean at 5.
    by_episode = gigpo.advantages(table, Config(scale="none", statistics="episode", step_weight=0.0))
    np.testing.assert_allclose(by_episode, [5, 5, -5, -5.1], rtol=1e-12)


def test_episode_return_replaces_the_sum_of_rewards() -> None:
    table = columns([0, 0], [0, 1], ["a", "a"], [1, 0], episode_return=[3, 7])
    result = gigpo.advantages(table, Config(scale="none"))
    np.testing.assert_allclose(result, [-2 + 0.5, 2 - 0.5])


def test_similar_anchors_join_the_first_cluster_that_matches() -> None:
    base = "You see a fridge 1, a table 1 and a shelf 1. " * 3
    near, far = base + "A mug 1.", "You are in the bathroom."
    table = columns([0] * 4 + [1], [0, 1, 2, 3, 4], [base, near, far, near, near], [4, 2, 7, 0, 100])
    config = Config(scale="none", similarity=0.95)
    step_term = gigpo.advantages(table, config) - grpo_term(table, config)
    # {4, 2, 0} meet in one cluster with mean 2; the far text and the other group's turn stand alone.
    np.testing.assert_allclose(step_term, [2, 0, 0, -2, 0], atol=1e-12)
    exact = gigpo.advantages(table, Config(scale="none")) - grpo_term(table, config)
    np.testing.assert_allclose(exact, [0, 1, 0, -1, 0], atol=1e-12)


def test_similarity_compares_with_the_first_member_only() -> None:
    # Each text differs from the next by one letter of ten: neighbours are 0.9 alike, the ends only 0.8.
    chain = ["aaaaaaaaaa", "aaaaaaaaab", "aaaaaaaabb"]
    config = Config(scale="none", similarity=0.9)
    table = columns([0] * 3, [0, 1, 2], chain, [2, 0, 9])
    np.testing.assert_allclose(gigpo.advantages(table, config) - grpo_term(table, config), [1, -1, 0], atol=1e-12)
    moved = columns([0] * 3, [0, 1, 2], [chain[1], chain[0], chain[2]], [0, 2, 9])
    step_term = gigpo.advantages(moved, config) - grpo_term(moved, config)
    np.testing.assert_allclose(step_term, np.array([0, 2, 9]) - 11 / 3, atol=1e-12)


def test_similarity_refuses_anchors_that_are_not_text() -> None:
    with pytest.raises(ValueError, match="similarity needs anchors that are text, not 3"):
        gigpo.advantages(columns([0], [0], [3], [1]), Config(similarity=0.9))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.5}, "gamma=1.5"),
        ({"gamma": math.nan}, "gamma=nan"),
        ({"step_weight": -1.0}, "step_weight=-1.0"),
        ({"scale": "sdt"}, "Did you mean 'std'"),
        ({"statistics": "turns"}, "Did you mean 'turn'"),
        ({"similarity": 0.0}, "similarity=0.0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**options)


@given(turns(), CONFIGS)
def test_equals_the_slow_reading(table: dict[str, list], config: Config) -> None:
    np.testing.assert_allclose(gigpo.advantages(table, config), slow_gigpo(table, config), rtol=1e-6, atol=1e-6)


@given(turns(), CONFIGS, st.data())
def test_the_order_of_episodes_does_not_matter(table: dict[str, list], config: Config, data: st.DataObject) -> None:
    rows = play_order(np.array(data.draw(st.permutations(range(len(table["group"]))))), table)
    moved = gigpo.advantages(take(table, rows), config)
    np.testing.assert_allclose(moved, gigpo.advantages(table, config)[rows], rtol=1e-6, atol=1e-6)


@given(turns(), CONFIGS)
def test_labels_are_only_names(table: dict[str, list], config: Config) -> None:
    renamed = {
        **table,
        "group": np.array([f"another {name}" for name in table["group"]]),
        "episode": [(group, episode) for group, episode in zip(table["group"], table["episode"], strict=True)],
        "anchor": np.array([ord(letter) for letter in table["anchor"]]),
    }
    np.testing.assert_array_equal(gigpo.advantages(renamed, config), gigpo.advantages(table, config))


@given(turns(), CONFIGS, st.floats(-100, 100))
def test_a_shift_of_all_returns_changes_nothing(table: dict[str, list], config: Config, shift: float) -> None:
    # With gamma 0 the step return is the reward itself; the episode's return is given and shifted with it.
    config = Config(0.0, config.step_weight, config.scale, config.statistics)
    total = read(table, anchors=False).episode_return
    moved = {**table, "reward": np.array(table["reward"]) + shift, "episode_return": total + shift}
    # A deviation near zero is worth little against 1e-6, so rounding shows at most at 1e-13 / 1e-6.
    np.testing.assert_allclose(gigpo.advantages(moved, config), gigpo.advantages(table, config), rtol=1e-6, atol=1e-6)


@given(turns(), CONFIGS, REWARDS)
def test_equal_returns_give_exact_zeros(table: dict[str, list], config: Config, reward: float) -> None:
    config = Config(0.0, config.step_weight, config.scale, config.statistics)
    number = len(table["group"])
    equal = {**table, "reward": [reward] * number, "episode_return": [reward] * number, "penalty": [0.0] * number}
    assert not gigpo.advantages(equal, config).any()


@given(turns())
def test_without_the_step_term_it_is_grpo(table: dict[str, list]) -> None:
    config = Config(step_weight=0.0, statistics="episode")
    np.testing.assert_array_equal(gigpo.advantages(table, config), grpo.advantages(table, grpo.Config()))


@given(turns(), CONFIGS)
def test_step_weight_scales_the_step_term_alone(table: dict[str, list], config: Config) -> None:
    def at(weight: float) -> np.ndarray:
        return gigpo.advantages(table, Config(config.gamma, weight, config.scale, config.statistics))

    np.testing.assert_allclose(at(2.0) - at(0.0), 2 * (at(1.0) - at(0.0)), atol=1e-9)


@given(turns(), CONFIGS)
def test_anchors_that_never_repeat_leave_the_episode_term(table: dict[str, list], config: Config) -> None:
    alone = {**table, "anchor": list(range(len(table["group"])))}
    episode_only = Config(config.gamma, 0.0, config.scale, config.statistics)
    np.testing.assert_array_equal(gigpo.advantages(alone, config), gigpo.advantages(alone, episode_only))


@given(turns())
def test_similarity_of_one_is_exact_matching(table: dict[str, list]) -> None:
    np.testing.assert_array_equal(
        gigpo.advantages(table, Config(similarity=1.0)), gigpo.advantages(table, Config(similarity=None))
    )
