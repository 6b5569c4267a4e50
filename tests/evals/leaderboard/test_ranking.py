"""Places: the exact test, Holm's correction, and the range of places that clear differences leave an entry."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.comparison import sign_flip
from evals.findings import SIGNIFICANCE
from evals.leaderboard.ranking import clear_differences, p_values, rank, tables
from evals.leaderboard.standing import standing
from evals.statistics import paired
from tests.evals.leaderboard.made import entry, sha

GAPS = st.lists(st.integers(-3, 3), min_size=1, max_size=10)
WINS = st.lists(st.lists(st.integers(0, 1), min_size=40, max_size=40), min_size=1, max_size=6)


def board(wins: list[list[int]]) -> list[dict[str, Any]]:
    return [entry(f"entry {number}", outcomes) for number, outcomes in enumerate(wins)]


def winning(count: int, tasks: int = 200) -> list[int]:
    return [1] * count + [0] * (tasks - count)


@settings(deadline=None)
@given(GAPS)
def test_the_sign_flip_test_counts_all_sign_patterns(gaps: list[int]):
    found = abs(sum(gaps))
    sums = [
        abs(sum(sign * gap for sign, gap in zip(signs, gaps, strict=True)))
        for signs in product((1, -1), repeat=len(gaps))
    ]
    assert sign_flip(np.array(gaps)) == pytest.approx(sum(value >= found for value in sums) / len(sums))


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300))
def test_of_single_episodes_it_is_mcnemar(pairs: list[tuple[bool, bool]]):
    first, second = np.array(pairs).T
    expected = paired(first, second).p
    assert sign_flip(first.astype(int) - second.astype(int)) == pytest.approx(expected, abs=1e-12)
    one, other = entry("one", first.astype(int).tolist()), entry("other", second.astype(int).tolist())
    assert p_values([one, other])[0, 1] == pytest.approx(expected, abs=1e-12)


def test_several_seeds_are_compared_by_share_of_wins():
    twice = entry("twice", [2, 2, 1, 0] * 10, rounds=2)
    once = entry("once", [1, 1, 0, 0] * 10)
    assert p_values([twice, once])[0, 1] == pytest.approx(sign_flip(np.array([0, 0, 1, 0] * 10)))
    same = entry("same", [1, 1, 0, 0] * 10)
    thrice = entry("thrice", [3, 3, 0, 0] * 10, rounds=3)
    assert p_values([thrice, same])[0, 1] == 1


def test_many_tasks_and_seeds_do_not_overflow():
    gaps = np.array([5, -3, 2, 0, 1] * 400)
    z = gaps.sum() / math.sqrt((gaps**2).sum())
    assert sign_flip(gaps) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.2)


@settings(deadline=None)
@given(WINS, st.randoms(use_true_random=False))
def test_the_laws_of_places(wins: list[list[int]], chance: Any):
    entries = board(wins)
    ranked = rank(entries)
    assert sorted(each.entry["name"] for each in ranked) == sorted(each["name"] for each in entries)
    rates = [each.entry["score"]["success"] for each in ranked]
    assert rates == sorted(rates, reverse=True)
    clear = clear_differences([each.entry for each in ranked])
    for row, each in enumerate(ranked):
        # Its own row is one of its places, and the range is as long as the list of those it is not told apart from.
        assert each.place <= row + 1 <= each.last
        assert each.last - each.place == int((~clear[row]).sum()) - 1
        assert each.tied == (each.place != each.last)
        # Whoever is clearly better stands above.
        for other in np.flatnonzero(clear[row]):
            first, second = sorted((row, int(other)))
            assert rates[first] > rates[second]
    shuffled = entries[:]
    chance.shuffle(shuffled)
    assert rank(shuffled) == ranked


def test_what_is_not_told_apart_has_a_range_of_places():
    ranked = rank(board([winning(150), winning(147), winning(60), winning(10)]))
    assert [(each.place, each.last) for each in ranked] == [(1, 2), (1, 2), (3, 3), (4, 4)]
    assert [each.places for each in ranked] == ["1 to 2", "1 to 2", "3", "4"]
    assert [each.tied for each in ranked] == [True, True, False, False]


def test_ties_are_not_transitive_and_ranges_overlap():
    # Each is six tasks above the next: neighbours are not told apart, the first and the third are.
    ranked = rank(board([winning(112), winning(106), winning(100)]))
    p = p_values([each.entry for each in ranked])
    assert p[0, 1] == p[1, 2] == 2 * 0.5**6
    assert 3 * p[0, 2] < SIGNIFICANCE < 2 * p[0, 1]
    assert [each.places for each in ranked] == ["1 to 2", "1 to 3", "2 to 3"]


def test_more_comparisons_ask_for_more():
    # p is 0.016 for the pair alone; beside four others, which nobody can tell apart, it is not enough.
    pair = [winning(107), winning(100)]
    assert [each.places for each in rank(board(pair))] == ["1", "2"]
    many = rank(board([*pair, *[winning(104 + number) for number in range(3)]]))
    assert {each.places for each in many} == {"1 to 5"}


def test_of_equals_the_smaller_training_stands_first():
    small = entry("z small", winning(50), training={"trained_parameters": 10, "total_parameters": 100})
    large = entry("a large", winning(50), training={"trained_parameters": 100, "total_parameters": 100})
    assert [each.entry["name"] for each in rank([large, small])] == ["z small", "a large"]
    assert {each.places for each in rank([large, small])} == {"1 to 2"}


def test_only_what_played_the_same_is_ranked_together():
    one = entry("one", winning(150))
    other_tasks = {**entry("two", winning(10)), "panel": {"name": "some_panel", "tasks": 200, "sha256": sha("other")}}
    longer = entry("three", winning(10), sampling={**one["sampling"], "max_turns": 50})
    cluttered = entry("four", winning(10), options={**one["options"], "clutter": 4.0})
    elsewhere = entry("five", winning(149), options={**one["options"], "data": "PATH"})
    found = tables([one, other_tasks, longer, cluttered, elsewhere])
    assert sorted(len(table) for table in found) == [1, 1, 1, 2]
    assert [each.places for each in rank([one, other_tasks, longer, cluttered])] == ["1", "1", "1", "1"]


def test_nobody_and_a_single_entry():
    assert rank([]) == []
    assert [each.places for each in rank(board([winning(3)]))] == ["1"]


def test_where_an_entry_stands_in_words():
    entries = board([winning(150), winning(147), winning(60), winning(10)])
    assert standing(entries[1], entries) == [
        "places 1 to 2 of 4 on some_panel",
        "clearly worse than 0, clearly better than 2, not to be told from 1",
    ]
    assert standing(entries[3], entries)[0] == "place 4 of 4 on some_panel"
    assert "nobody else has played these tasks" in standing(entries[0], entries[:1])[0]
