"""Intervals and tests against published and hand-worked numbers, and the laws they keep."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evals.statistics import UNBOUNDED, contribution, fieller, mean_interval, paired, wilson

outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def arms(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_of_published_examples(successes: int, n: int, expected: tuple[float, float]) -> None:
    assert wilson(successes, n) == pytest.approx(expected, abs=5e-5)


def test_wilson_by_hand() -> None:
    # 5 of 10, z = 1.959964: centre 0.5, half width z * sqrt(0.025 + z^2 / 400) / (1 + z^2 / 10) = 0.263407.
    assert wilson(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_equals_scipy(counts: tuple[int, int], level: float) -> None:
    expected = stats.binomtest(*counts).proportion_ci(level, method="wilson")
    assert wilson(*counts, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_and_mirrors(counts: tuple[int, int]) -> None:
    successes, n = counts
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    mirrored = wilson(n - successes, n)
    assert (low, high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low))
    wider = wilson(successes, n, level=0.99)
    assert wider.low <= low
    assert wider.high >= high


def test_paired_interval_of_a_published_example() -> None:
    # Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850: 21 children, counts 1, 1, 7, 12.
    result = paired(*arms(1, 1, 7, 12))
    assert result.difference == pytest.approx(-6 / 21)
    assert result.interval == pytest.approx((-0.507, -0.026), abs=5e-4)
    # Exact McNemar of 1 against 7: 2 * (1 + 8) / 256.
    assert result.p == pytest.approx(2 * 9 / 256)
    assert (result.only_a, result.only_b, result.n) == (1, 7, 21)


def test_exact_mcnemar_by_hand() -> None:
    tail = sum(math.comb(20, k) for k in range(6)) / 2**20
    assert paired(*arms(100, 15, 5, 180)).p == pytest.approx(2 * tail)
    assert paired(*arms(3, 4, 4, 2)).p == pytest.approx(1.0)


@given(st.integers(0, 200), st.integers(0, 200))
def test_exact_mcnemar_equals_the_fair_coin_test_of_scipy(only_a: int, only_b: int) -> None:
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert paired(*arms(10, only_a, only_b, 10)).p == pytest.approx(expected, rel=1e-9)


def test_arms_that_never_differ_show_no_difference() -> None:
    result = paired(*arms(10, 0, 0, 20))
    assert (result.difference, result.p) == (0.0, 1.0)
    assert result.interval.low <= 0 <= result.interval.high
    assert result.interval.high < paired(*arms(0, 10, 10, 10)).interval.high


@given(outcomes)
def test_paired_mirrors(pairs: list[tuple[bool, bool]]) -> None:
    a, b = zip(*pairs, strict=True)
    one, other = paired(a, b), paired(b, a)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval == pytest.approx((-other.interval.high, -other.interval.low))
    assert one.p == pytest.approx(other.p)
    assert one.interval.low <= one.difference + 1e-12
    assert one.difference <= one.interval.high + 1e-12
    assert -1 <= one.interval.low <= one.interval.high <= 1
    assert 0 <= one.p <= 1


@given(outcomes, st.randoms())
def test_the_order_of_tasks_does_not_matter(pairs: list[tuple[bool, bool]], random: object) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert paired(*zip(*pairs, strict=True)) == paired(*zip(*shuffled, strict=True))


def test_mean_interval_by_hand() -> None:
    # Mean 2, s = 1, t with 2 degrees of freedom 4.302653: half width 4.302653 / sqrt(3).
    assert mean_interval([1, 2, 3]) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_one_value_has_no_spread() -> None:
    assert mean_interval([0.4]) == UNBOUNDED
    assert json.dumps(UNBOUNDED.to_json(), allow_nan=False) == "[null, null]"


def test_fieller_by_hand() -> None:
    # z^2 = 3.841459: 21.158541 r^2 - 100 r + 96.158541 = 0, so r = 2.363112 -+ 1.019622.
    assert fieller(10, 5, np.eye(2)) == pytest.approx((1.343490, 3.382734), abs=2e-6)


def test_fieller_is_unbounded_when_the_denominator_may_be_zero() -> None:
    assert fieller(10, 1.9, np.eye(2)) == UNBOUNDED
    assert fieller(0.1, 0.1, np.eye(2)) == UNBOUNDED
    assert fieller(10, 2.0, np.eye(2)) != UNBOUNDED


def test_fieller_of_certain_numbers_is_their_ratio() -> None:
    assert fieller(3, 4, np.zeros((2, 2))) == pytest.approx((0.75, 0.75))


@given(st.floats(-5, 5), st.floats(0.1, 5), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(-0.9, 0.9))
def test_fieller_ends_are_ratios_just_accepted(
    numerator: float, denominator: float, one: float, other: float, correlation: float
) -> None:
    shared = correlation * one * other
    interval = fieller(numerator, denominator, [[one**2, shared], [shared, other**2]])
    for ratio in (end for end in interval if math.isfinite(end) and abs(end) < 1e3):
        variance = one**2 - 2 * ratio * shared + ratio**2 * other**2
        assert abs(numerator - ratio * denominator) == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-4)


def test_contribution_by_hand() -> None:
    # 100 tasks: base solves 20, the layer those and 30 more, full training those and 10 more.
    base, layer, full = np.arange(100) < 20, np.arange(100) < 50, np.arange(100) < 60
    result = contribution(base, layer, full)
    assert result.value == pytest.approx(0.75)
    # t = 1.984217, t^2 / 99 = 0.0397668: variances 0.21 and 0.24, covariance 0.18 of the task differences.
    assert result.interval == pytest.approx((0.60921, 0.89079), abs=2e-5)
    assert result.why_null is None


def test_contribution_is_undefined_without_a_gain_of_five_points() -> None:
    # A gain of 9 points with a lower bound below 5.
    base, full = np.arange(300) < 90, np.arange(300) < 117
    assert 0 < paired(full, base).interval.low < 0.07
    weak = contribution(base, full, np.arange(300) < 100)
    assert (weak.value, weak.interval) == (None, None)
    assert "+3.3 points" in str(weak.why_null)
    assert "above 5 points" in str(weak.why_null)
    assert contribution(base, full, np.arange(300) < 140).value == pytest.approx(27 / 50)


@given(outcomes)
def test_a_layer_that_equals_full_contributes_one(pairs: list[tuple[bool, bool]]) -> None:
    base, full = (np.array(arm) for arm in zip(*pairs, strict=True))
    result = contribution(base, full, full)
    if result.value is not None and result.interval is not None:
        assert result.value == 1.0
        assert result.interval.low <= 1.0 + 1e-9
        assert result.interval.high >= 1.0 - 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(3, 2), "3 successes of 2 episodes"),
        (lambda: wilson(0, 0), "0 successes of 0 episodes"),
        (lambda: wilson(1, 2, level=95), "confidence level of 95"),
        (lambda: paired([True], [True, False]), "one has 1 and one 2"),
        (lambda: paired([], []), "at least one task"),
        (lambda: paired([0.5], [1]), "only successes and failures"),
        (lambda: contribution([1], [1], [1, 0]), "one has 2 and one 1"),
        (lambda: mean_interval([]), "at least one value"),
        (lambda: mean_interval([math.nan]), "all of them finite"),
        (lambda: fieller(1, 1, [[1, 2], [2, 1]]), "symmetric, positive"),
    ],
)
def test_impossible_input_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
