"""What a panel is said to show it does show, by the test and the interval that verdicts are passed by."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evals.findings import is_resolved
from evals.power import deviation_of_one, power_line, tasks_to_see, visible_difference
from evals.statistics import paired


@pytest.mark.parametrize(("rate", "tasks"), [(0.2, 40), (0.2, 140), (0.5, 100), (0.5, 300), (0.8, 140)])
def test_four_of_five_panels_show_the_difference_that_is_named(rate: float, tasks: int):
    random = np.random.default_rng(tasks)
    difference = visible_difference(tasks, math.sqrt(2 * rate * (1 - rate)), as_good=True)
    other = rate + difference if rate <= 0.5 else rate - difference
    found = [paired(random.random(tasks) < other, random.random(tasks) < rate) for _ in range(1500)]
    shown = np.mean([is_resolved({"interval": pair.interval.to_json(), "p": pair.p}) for pair in found])
    assert shown == pytest.approx(0.8, abs=0.04)


def test_so_many_tasks_as_are_named_show_it():
    random = np.random.default_rng(5)
    tasks = tasks_to_see(0.1, math.sqrt(0.4 - 0.01))
    # a wins 25 % of tasks alone, b 15 %.
    drawn = random.choice([1, 0, -1], p=[0.25, 0.6, 0.15], size=(1500, tasks))
    found = [paired(row >= (row == 0), row == -1) for row in drawn]
    assert np.mean([pair.p < 0.05 for pair in found]) == pytest.approx(0.8, abs=0.04)


def test_so_few_tasks_that_no_panel_of_them_is_told_from_chance():
    """Five of five have p = 0.0625 in the exact test."""
    assert [visible_difference(tasks, 0.7) for tasks in range(1, 6)] == [math.inf] * 5
    assert stats.binomtest(5, 5).pvalue > 0.05 > stats.binomtest(6, 6).pvalue
    assert visible_difference(6, 0.7) < 1


def test_the_power_that_the_tasks_give():
    # Differences of standard deviation 0.7: (1.96 + 0.8416)^2 * 0.49 / 0.0009 = 4,273, and more for an exact test.
    assert 4273 <= tasks_to_see(0.03, 0.7) <= 4400
    assert visible_difference(tasks_to_see(0.03, 0.7), 0.7) == pytest.approx(0.03, rel=0.01)
    # Not even policies that agree on all else show three points on fewer tasks than the three points need.
    assert tasks_to_see(0.03, 0.01) == tasks_to_see(0.03, 0.1) > 200
    assert visible_difference(tasks_to_see(0.03, 0.01), 0.01) == pytest.approx(0.03, rel=0.02)
    assert tasks_to_see(0.001, 0.7) > 3_000_000


def test_tasks_that_are_played_several_times():
    # By Student's test: 4,273 and a little more for t.
    assert 4273 <= tasks_to_see(0.03, 0.7, 3) <= 4277
    assert visible_difference(tasks_to_see(0.03, 0.7, 3), 0.7, 3) == pytest.approx(0.03, rel=1e-3)


def test_the_deviation_that_one_policy_lets_expect():
    # Two independent policies of 50 %: differences have variance 2 * 0.25.
    assert deviation_of_one([1, 0] * 500, [1] * 1000) == pytest.approx(math.sqrt(0.5), rel=0.01)
    assert deviation_of_one([0] * 50, [1] * 50) > 0
    steady, changing = deviation_of_one([3, 0] * 100, [3] * 200), deviation_of_one([1, 2] * 100, [3] * 200)
    assert changing < steady


def test_a_line_on_power():
    needed, shown = tasks_to_see(0.03, 0.7), 100 * visible_difference(300, 0.7)
    line = power_line(300, 0.7)
    said = f"to see a difference of 3 points you need {needed:,} tasks; the 300 here show one of {shown:.1f} points"
    assert line == said
    assert 11.4 < shown < 12.5
    assert power_line(3, 0.7).endswith("the 3 here show none")
