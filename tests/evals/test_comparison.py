"""Two policies on the same tasks: difference, intervals, tests, what it takes to see one, and the words for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from envs.errors import InputError
from evals.clusters import clustered
from evals.comparison import (
    compare,
    difference_ends,
    holm,
    verdict,
)
from evals.statistics import paired, wilson


def test_tasks_played_once_are_compared_as_pairs():
    random = np.random.default_rng(0)
    a, b = random.random(200) < 0.6, random.random(200) < 0.4
    found, pair = compare(a, b), paired(a, b)
    assert (found.difference, found.interval, found.p) == (pair.difference, pair.interval, pair.p)
    assert (found.better, found.worse, found.tasks, found.plays) == (pair.only_a, pair.only_b, 200, 1)
    assert found.bootstrap is not None
    assert found.bootstrap == pytest.approx(found.interval, abs=0.02)


def test_the_interval_for_several_plays_is_newcombes_where_each_was_played_once():
    # Newcombe's without its correction: counts 21, 9, 6, 14 by hand from wilson().
    a, b = np.repeat([1, 1, 0, 0], [21, 9, 6, 14]), np.repeat([1, 0, 1, 0], [21, 9, 6, 14])
    (la, ua), (lb, ub) = wilson(30, 50), wilson(27, 50)
    phi = (21 * 14 - 9 * 6) / math.sqrt(30 * 20 * 27 * 23)
    low = 0.06 - math.sqrt((0.6 - la) ** 2 - 2 * phi * (0.6 - la) * (ub - 0.54) + (ub - 0.54) ** 2)
    high = 0.06 + math.sqrt((ua - 0.6) ** 2 - 2 * phi * (ua - 0.6) * (0.54 - lb) + (0.54 - lb) ** 2)
    # Those of `clustered_ends` have Student's quantile, with 49 degrees of freedom.
    wider = stats.t.ppf(0.975, 49) / stats.norm.ppf(0.975)
    found = difference_ends(a, b, 1)
    assert (found[0] - 0.06) / (low - 0.06) == pytest.approx(wider, rel=0.01)
    assert (found[1] - 0.06) / (high - 0.06) == pytest.approx(wider, rel=0.01)


def test_plays_of_a_task_that_end_alike_tell_no_more_than_one():
    random = np.random.default_rng(1)
    a, b = (random.random(150) < 0.5).astype(int), (random.random(150) < 0.4).astype(int)
    once, thrice = compare(a, b), compare(3 * a, 3 * b, 3)
    assert thrice.difference == pytest.approx(once.difference)
    assert thrice.interval == pytest.approx(once.interval, abs=0.01)
    assert thrice.p == pytest.approx(once.p, abs=0.02)
    assert thrice.deviation == pytest.approx(once.deviation)


def test_few_tasks_are_flipped_in_all_ways():
    # Differences 1, 1, 1, 2 of 2 plays: of 16 flips two are as far from zero as these.
    assert compare([1, 1, 1, 2], [0, 0, 0, 0], 2).p == pytest.approx(2 / 16)
    assert compare([1, 2], [1, 2], 2).p == 1.0


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_a_comparison_mirrors(pairs: list[tuple[int, int]]):
    a, b = zip(*pairs, strict=True)
    one, other = compare(a, b, 3), compare(b, a, 3)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval == pytest.approx((-other.interval.high, -other.interval.low))
    assert -1 - 1e-9 <= one.interval.low <= one.difference + 1e-9 <= one.interval.high + 2e-9 <= 1 + 3e-9
    assert one.p == pytest.approx(other.p)
    assert one.deviation > 0
    assert (one.bootstrap is None) == (other.bootstrap is None)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=2, max_size=40))
def test_clustering_never_narrows_and_never_asks_for_more_than_the_tasks(counts: list[tuple[int, int]]):
    won, plays = [min(w, n) for w, n in counts], [n for _, n in counts]
    low, high = clustered(won, plays)
    alone = wilson(sum(won), sum(plays))
    assert low <= alone.low + 1e-12
    assert high >= alone.high - 1e-12
    assert 0 <= low <= sum(won) / sum(plays) <= high <= 1


def test_clustered_of_one_task_and_of_what_is_impossible():
    assert clustered([2], [5]) == (0, 1)
    assert clustered([1, 0, 1], [1, 1, 1]) == wilson(2, 3)
    for won, plays in (([], []), ([1], [1, 2]), ([2], [1]), ([-1], [1]), ([0], [0])):
        with pytest.raises(InputError):
            clustered(won, plays)


def test_no_bootstrap_where_it_would_have_no_width():
    assert compare([1] * 9 + [0] * 300, [0] * 309).bootstrap is None
    assert compare([1] * 100, [0] * 100).bootstrap is None
    assert compare([1] * 10 + [0] * 300, [0] * 310).bootstrap is not None


def test_arms_of_other_tasks_are_refused():
    for a, b, plays in (([1], [1, 0], 1), ([], [], 1), ([2], [1], 1), ([0], [-1], 2), ([[1]], [[1]], 1)):
        with pytest.raises(InputError):
            compare(a, b, plays)


def test_holm_by_hand():
    # Sorted 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.5; none below the one before it.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_holm_is_that_of_statsmodels(count: int):
    p = np.random.default_rng(count).uniform(size=count).round(1)
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1])


def test_words_claim_no_more_than_interval_and_test():
    clear = compare([1] * 60 + [0] * 40, [0] * 40 + [1] * 10 + [0] * 50)
    assert verdict("x", "y", clear).startswith("x did better than y: x minus y is +50.0 points (95 % interval +3")
    mirrored = compare([0] * 40 + [1] * 10 + [0] * 50, [1] * 60 + [0] * 40)
    assert verdict("x", "y", mirrored).startswith("y did better than x: x minus y is \N{MINUS SIGN}50.0 points")
    unclear = compare([1, 0, 1, 0] * 5, [0, 0, 1, 1] * 5)
    said = verdict("x", "y", unclear)
    assert said.startswith("Which is better was not resolved: the success of x minus that of y is +0.0 points")
    assert "p 1.00)" in said
    # An interval beside zero is not enough where the exact test does not agree.
    torn = unclear._replace(interval=type(unclear.interval)(0.01, 0.2), p=0.06, difference=0.1)
    assert "not resolved" in verdict("x", "y", torn)
