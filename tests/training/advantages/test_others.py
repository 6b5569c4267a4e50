"""RLOO, DAPO, GSPO and HGPO: groups worked by hand, and what ties them to GRPO and GiGPO."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.config import load
from tests.training.advantages.strategies import turns
from training.advantages import dapo, dr_grpo, gspo, hgpo, rloo
from training.advantages import grpo as grpo_module
from training.config import RunConfig

GROUP: dict[str, list[Any]] = {"group": ["t"] * 4, "episode": [0, 1, 1, 2], "reward": [1.0, 0.0, 0.5, 0.0]}


def test_rloo_compares_with_the_others() -> None:
    # Returns 1, 0.5, 0: the others' means are 0.25, 0.5, 0.75.
    np.testing.assert_allclose(rloo.advantages(GROUP, rloo.Config()), [0.75, 0.0, 0.0, -0.75], atol=1e-15)


@given(turns(max_groups=1))
def test_rloo_is_dr_grpo_scaled_by_the_groups_size(table: dict[str, list]) -> None:
    size = len(set(table["episode"]))
    scaled = dr_grpo.advantages(table, dr_grpo.Config()) * size / max(size - 1, 1)
    np.testing.assert_allclose(rloo.advantages(table, rloo.Config()), scaled, rtol=1e-9, atol=1e-12)


@given(turns())
def test_dapo_and_gspo_estimate_as_grpo(table: dict[str, list]) -> None:
    expected = grpo_module.advantages(table, grpo_module.Config())
    np.testing.assert_array_equal(dapo.advantages(table, dapo.Config()), expected)
    np.testing.assert_array_equal(gspo.advantages(table, gspo.Config()), expected)


def test_dapo_takes_returns_off_long_episodes() -> None:
    # Longest 100, margin 20: 80 tokens lose nothing, 90 half of the weight, 130 all of it; 40 + 50 tokens are 90.
    table = {
        "group": [0] * 5,
        "episode": [0, 1, 1, 2, 3],
        "reward": [1.0, 0.0, 1.0, 1.0, 0.0],
        "tokens": [80, 40, 50, 130, 10],
    }
    returns = np.array([1.0, 0.5, 0.5, 0.0, 0.0])
    values = returns[[0, 1, 3, 4]]
    expected = (returns - values.mean()) / (values.std(ddof=1) + 1e-6)
    config = dapo.Config(length_weight=1.0, longest=100, margin=20)
    np.testing.assert_allclose(dapo.advantages(table, config), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="lack the column 'tokens'"):
        dapo.advantages({name: column for name, column in table.items() if name != "tokens"}, config)
    with pytest.raises(ValueError, match="margin=20 must be at most longest=10"):
        dapo.Config(longest=10, margin=20)


def test_hgpo_worked_by_hand() -> None:
    # Two episodes a, b | a, b and one c, b, gamma 0.5: returns 0.5 1 | 0 0 | 0 0. Population deviation.
    table = {
        "group": [0] * 6,
        "episode": [0, 0, 1, 1, 2, 2],
        "anchor": ["a", "b", "a", "b", "c", "b"],
        "reward": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
    }
    config = hgpo.Config(gamma=0.5, history=1)
    # k = 1: {a, a}: +1, -1; {b, b, b} of 1, 0, 0: mean 1/3, deviation sqrt(2)/3: sqrt(2), -1/sqrt(2), -1/sqrt(2).
    # k = 2: {ab, ab}: +1, -1. Weights 2 and 3.
    root = 2**0.5
    expected = [1, (2 * root + 3) / 5, -1, (-root - 3) / 5, 0, -1 / root]
    np.testing.assert_allclose(hgpo.advantages(table, config), expected, rtol=1e-5)
    flat = hgpo.advantages(table, hgpo.Config(gamma=0.5, history=1, alpha=0.0))
    np.testing.assert_allclose(flat[1], (root + 1) / 2, rtol=1e-5)
    assert hgpo.advantages(table, hgpo.Config(gamma=0.5, history=1, scale="none"))[0] == pytest.approx(0.25, rel=1e-5)


def slow_hgpo(table: dict[str, list[Any]], config: hgpo.Config) -> list[float]:
    """HGPO turn by turn in plain Python."""
    rows = list(zip(*(table[name] for name in ("group", "episode", "anchor", "reward", "penalty")), strict=True))

    def history(row: int, length: int) -> tuple[Any, ...] | None:
        behind = [other[2] for other in rows[: row + 1] if other[:2] == rows[row][:2]]
        return tuple(behind[-length:]) if len(behind) >= length else None

    def value(row: int) -> float:
        ahead = [other[3] for other in rows[row:] if other[:2] == rows[row][:2]]
        return sum(reward * config.gamma**step for step, reward in enumerate(ahead)) - rows[row][4]

    result = []
    for row in range(len(rows)):
        items = []
        for length in range(1, config.history + 2):
            own = history(row, length)
            mates = [k for k in range(len(rows)) if rows[k][0] == rows[row][0] and history(k, length) == own]
            if own is None or len(mates) < 2:
                continue
            values = np.array([value(k) for k in mates])
            unit = values.std() + 1e-6 if config.scale == "std" else 1.0
            item = (value(row) - values.mean()) / unit
            items.append((length, 0.0 if np.ptp(values) == 0 or abs(item) < 1e-9 else item))
        weights = [(length + 1) ** config.alpha for length, item in items if item]
        total = sum((length + 1) ** config.alpha * item for length, item in items if item)
        result.append(total / (sum(weights) + 1e-6))
    return result


@given(
    turns(),
    st.builds(
        hgpo.Config,
        gamma=st.sampled_from([0.5, 0.95]),
        history=st.integers(0, 3),
        alpha=st.sampled_from([0.0, 1.0, 2.0]),
        scale=st.sampled_from(["std", "none"]),
    ),
)
def test_hgpo_equals_a_slow_reading_of_its_definition(table: dict[str, list], config: hgpo.Config) -> None:
    np.testing.assert_allclose(hgpo.advantages(table, config), slow_hgpo(table, config), rtol=1e-6, atol=1e-6)


def test_each_preset_sets_what_its_paper_changes_in_the_loss() -> None:
    train = {name: load(RunConfig, [f"algorithm={name}"]).train for name in ("rloo", "dapo", "gspo", "hgpo")}
    assert (train["dapo"].clip_low, train["dapo"].clip_high, train["dapo"].rollouts) == (0.2, 0.28, 10)
    assert (train["gspo"].ratio, train["gspo"].clip_low, train["gspo"].clip_high) == ("sequence", 3e-4, 4e-4)
    assert [train[name].aggregation for name in ("rloo", "dapo", "gspo", "hgpo")] == [
        "sequence_mean_token_sum",
        "token_mean",
        "sequence_mean_token_mean",
        "token_mean",
    ]
