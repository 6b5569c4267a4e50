from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from envs.errors import InputError
from evals.statistics import UNBOUNDED, mean_interval
from evals.strata import stratified_mean_interval

VALUES = st.lists(st.floats(-1, 1), min_size=2, max_size=8)


@given(VALUES)
def test_a_single_group_has_students_interval(values: list[float]):
    assert stratified_mean_interval([values]) == pytest.approx(mean_interval(values), abs=1e-12)


def test_two_groups_by_hand():
    # Variances 1 and 4, three values each: v = (1/2)^2 / 3 and (1/2)^2 * 4 / 3, 5/12 in all, and
    # (5/12)^2 / ((1/12)^2 / 2 + (4/12)^2 / 2) = 50/17 degrees of freedom.
    half = stats.t.ppf(0.975, 50 / 17) * (5 / 12) ** 0.5
    assert stratified_mean_interval([[1, 2, 3], [10, 12, 14]]) == pytest.approx((7 - half, 7 + half))


@given(st.lists(VALUES, min_size=1, max_size=4), st.floats(-10, 10))
def test_what_groups_differ_by_does_not_widen_it(strata: list[list[float]], shift: float):
    low, high = stratified_mean_interval(strata)
    moved = [[value + number * shift for value in values] for number, values in enumerate(strata)]
    wide = stratified_mean_interval(moved)
    assert wide[1] - wide[0] == pytest.approx(high - low, abs=1e-6)


def test_it_covers_what_it_claims():
    generator = np.random.default_rng(0)
    centers, spreads, counts = (0.05, 0.0, 0.02), (0.02, 0.01, 0.04), (3, 5, 3)
    truth = np.average(centers, weights=counts)
    draws = [
        [
            generator.normal(center, spread, count)
            for center, spread, count in zip(centers, spreads, counts, strict=True)
        ]
        for _ in range(4000)
    ]
    covered = np.mean([low <= truth <= high for low, high in map(stratified_mean_interval, draws)])
    # Welch's approximation errs on the safe side with so few values.
    assert 0.945 < covered < 0.985


def test_what_has_no_spread_to_see():
    assert stratified_mean_interval([[0.1, 0.2], [0.3]]) == UNBOUNDED
    assert stratified_mean_interval([[0.25, 0.25], [0.75, 0.75]]) == (0.5, 0.5)


@pytest.mark.parametrize("strata", [[], [[]], [[0.1, float("nan")]]])
def test_values_that_cannot_be_averaged_are_refused(strata: list[list[float]]):
    with pytest.raises(InputError, match="at least one value in each"):
        stratified_mean_interval(strata)
