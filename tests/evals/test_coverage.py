"""The share of panels whose interval holds the truth: 10,000 panels for each size and success rate, all at once.

The ranges are those that the docstrings of `evals.statistics` and `evals.studies` state.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from evals.clusters import clustered_ends
from evals.comparison import compare, difference_ends
from evals.statistics import contribution, fieller, mean_interval, paired, wilson, wilson_ends
from evals.studies import Arm, difference

DRAWS = 10_000
WITHIN = 0.01
RATES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9)


def played(
    random: np.random.Generator, rates: NDArray[np.float64], tasks: int, plays: int, correlation: float
) -> NDArray[np.int64]:
    """Wins of each task, (draws, tasks): tasks have success rates of their own, beta-distributed around the panel's."""
    rates = rates[:, None]
    if correlation == 1:
        return plays * random.binomial(1, np.broadcast_to(rates, (len(rates), tasks)))
    if correlation == 0:
        return random.binomial(plays, np.broadcast_to(rates, (len(rates), tasks)))
    strength = 1 / correlation - 1
    return random.binomial(plays, random.beta(rates * strength, (1 - rates) * strength, (len(rates), tasks)))


def coverage(won: NDArray[np.int64], plays: int, truth: NDArray[np.float64]) -> float:
    low, high = clustered_ends(won, np.array(plays))
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("tasks", [300, 500, 1319])
def test_of_tasks_played_once_at_every_rate(tasks: int):
    random = np.random.default_rng(tasks)
    for rate in RATES:
        counts, panels = np.unique(random.binomial(tasks, rate, DRAWS), return_counts=True)
        low, high = np.array([wilson(int(count), tasks) for count in counts]).T
        held = panels[(low <= rate) & (rate <= high)].sum() / DRAWS
        assert held == pytest.approx(0.95, abs=WITHIN), rate


@pytest.mark.parametrize(
    ("sizes", "low", "high"), [(range(300, 364), 0.939507, 0.960193), (range(364, 1320), 0.94, 0.96)]
)
def test_of_tasks_played_once_reckoned_exactly(sizes: range, low: float, high: float):
    found = np.array([extremes(tasks) for tasks in sizes])
    assert found.min() >= low
    assert found.max() <= high
    # The range of the smaller ones is no wider than it must be.
    assert sizes[0] > 300 or (found.min(), found.max()) == pytest.approx((low, high), abs=1e-6)
    assert extremes(350)[1] > 0.96


def extremes(tasks: int) -> tuple[float, float]:
    """The least and the greatest coverage of Wilson's interval at any rate from 0.1 to 0.9, which is its mirror image.

    Between two ends of intervals the same counts hold the rate, so coverage is extreme beside an end.
    """
    counts = np.arange(tasks + 1)
    low, high = wilson_ends(counts / tasks, tasks, 0.05)
    low[0], high[-1] = 0.0, 1.0
    ends = np.concatenate([low, high])
    ends = ends[(ends > 0.1) & (ends < 0.5)]
    rates = np.concatenate([[0.1, 0.5], ends - 1e-12, ends + 1e-12])
    first, last = np.searchsorted(high, rates, "left"), np.searchsorted(low, rates, "right") - 1
    held = stats.binom.cdf(last, tasks, rates) - stats.binom.cdf(first - 1, tasks, rates)
    return float(held.min()), float(held.max())


@pytest.mark.parametrize(("plays", "correlation"), [(2, 0), (2, 0.6), (5, 0), (5, 0.2), (5, 0.6)])
def test_of_tasks_played_several_times_at_every_rate(plays: int, correlation: float):
    random = np.random.default_rng([plays, int(10 * correlation)])
    for rate in RATES[:4]:
        truth = np.full(DRAWS, rate)
        found = coverage(played(random, truth, 300, plays, correlation), plays, truth)
        assert found == pytest.approx(0.95, abs=WITHIN), rate


@pytest.mark.parametrize("correlation", [0, 0.3, 0.9, 1])
@pytest.mark.parametrize(("tasks", "plays"), [(140, 1), (140, 2), (140, 3), (300, 5)])
def test_of_any_rate_on_the_mean(tasks: int, plays: int, correlation: float):
    random = np.random.default_rng([tasks, plays, int(10 * correlation)])
    truth = random.uniform(0.05, 0.95, DRAWS)
    found = coverage(played(random, truth, tasks, plays, correlation), plays, truth)
    assert found == pytest.approx(0.95, abs=WITHIN)


def test_taking_plays_of_one_task_for_tasks_would_claim_too_much():
    random = np.random.default_rng(0)
    truth = random.uniform(0.05, 0.95, DRAWS)
    won = played(random, truth, 140, 5, 0.6)
    low, high = np.array([wilson(int(count), 5 * 140) for count in won.sum(-1)]).T
    assert np.mean((low <= truth) & (truth <= high)) < 0.8
    assert coverage(won, 5, truth) > 0.94


def two_policies(
    random: np.random.Generator, tasks: int, plays: int, shared: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Wins of two policies that succeed by tasks alike, (draws, tasks) each, and the true differences, (draws,)."""
    centre = random.uniform(0.2, 0.8, DRAWS)
    gap = random.uniform(-0.15, 0.15, DRAWS)
    ease = random.beta(1 / shared - 1, 1 / shared - 1, (DRAWS, tasks)) - 0.5
    rates = [np.clip(centre[:, None] + side * gap[:, None] / 2 + 0.35 * ease, 0, 1) for side in (1, -1)]
    # Clipping moves the means: the truth is what these tasks' population has.
    wide = stats.beta.ppf((np.arange(400) + 0.5) / 400, 1 / shared - 1, 1 / shared - 1) - 0.5
    population = [np.clip(centre[:, None] + side * gap[:, None] / 2 + 0.35 * wide, 0, 1).mean(-1) for side in (1, -1)]
    return random.binomial(plays, rates[0]), random.binomial(plays, rates[1]), population[0] - population[1]


@pytest.mark.parametrize(("tasks", "plays"), [(140, 1), (300, 1), (140, 3), (300, 5)])
def test_of_a_difference_on_the_mean(tasks: int, plays: int):
    random = np.random.default_rng([tasks, plays, 7])
    won_a, won_b, truth = two_policies(random, tasks, plays, 0.4)
    low, high = difference_ends(won_a, won_b, plays)
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=WITHIN)


def test_of_newcombes_difference():
    random = np.random.default_rng(11)
    won_a, won_b, truth = two_policies(random, 140, 1, 0.4)
    intervals = np.array([paired(a, b).interval for a, b in zip(won_a, won_b, strict=True)])
    held = (intervals[:, 0] <= truth) & (truth <= intervals[:, 1])
    assert held.mean() == pytest.approx(0.95, abs=WITHIN)


@pytest.mark.parametrize("tasks", [140, 300])
def test_of_the_bootstrap(tasks: int):
    # A task's difference is 1, 0 or -1: drawing tasks anew is drawing three counts, which takes all panels at once.
    random = np.random.default_rng(tasks)
    shares = np.array([0.2, 0.65, 0.15])
    counts = random.multinomial(tasks, shares, DRAWS)
    means = np.empty((DRAWS, 400))
    for number in range(400):
        drawn = random.multinomial(tasks, counts / tasks)
        means[:, number] = (drawn[:, 0] - drawn[:, 2]) / tasks
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0.05) & (high >= 0.05)) == pytest.approx(0.95, abs=WITHIN)
    # And `compare` does what was simulated: its ends are those of one panel's drawn means, up to what is drawn.
    a = np.repeat([1, 0, 0], counts[0])
    b = np.repeat([0, 0, 1], counts[0])
    assert compare(a, b).bootstrap == pytest.approx((low[0], high[0]), abs=0.015)


@pytest.mark.parametrize("share", [0, 1 / 3, 2 / 3, 1])
@pytest.mark.parametrize(("tasks", "gain"), [(300, 0.2), (300, 0.3), (500, 0.2)])
def test_of_a_contribution(tasks: int, gain: float, share: float):
    random = np.random.default_rng([tasks, int(10 * gain), int(3 * share)])
    held, stated = 0, 0
    for draw in range(DRAWS):
        # Difficulty is shared by the arms, luck is their own; the base wins 0.3.
        moved = (random.random(tasks) + random.uniform(-0.3, 0.3, (3, tasks))) % 1
        base, layer, full = moved < np.array([0.3, 0.3 + share * gain, 0.3 + gain])[:, None]
        if draw < 20:
            found = contribution(base, layer, full).interval
        gaps = np.stack([layer, full]).astype(float) - base
        mean = gaps.mean(axis=1)
        interval = fieller(mean[0], mean[1], np.cov(gaps) / tasks, 0.95, tasks - 1)
        if draw < 20 and found is not None:
            assert found == pytest.approx(interval)
            stated += 1
        held += interval.low <= share <= interval.high
    assert stated > 10
    assert held / DRAWS == pytest.approx(0.95, abs=WITHIN)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_of_a_mean(count: int):
    values = np.random.default_rng(count).normal(0.3, 0.1, (DRAWS, count))
    low, high = np.array([mean_interval(each) for each in values]).T
    assert np.mean((low <= 0.3) & (high >= 0.3)) == pytest.approx(0.95, abs=WITHIN)


@pytest.mark.parametrize(
    ("seeds", "spread", "low", "high"),
    [
        (2, 0.0, 0.98, 1.0),
        (3, 0.0, 0.975, 0.995),
        (5, 0.0, 0.965, 0.985),
        (2, 0.05, 0.97, 0.995),
        (5, 0.05, 0.96, 0.985),
        (2, 0.2, 0.94, 0.97),
        (3, 0.2, 0.94, 0.97),
        (5, 0.2, 0.94, 0.97),
    ],
)
def test_of_a_studys_difference(seeds: int, spread: float, low: float, high: float):
    # Success of the trained arm spreads between seeds by so much; what seeds and tasks share is counted twice.
    random, held = np.random.default_rng([seeds, int(100 * spread)]), 0
    for _ in range(DRAWS):
        hardness = random.random(150)
        rates = np.clip(0.5 + spread * random.normal(size=(seeds, 1)), 0, 1)
        won = np.where(random.random((seeds, 150)) < 0.7, hardness, random.random((seeds, 150))) < rates
        base = Arm("base", None, {"panel": dict.fromkeys(range(seeds), hardness < 0.4)})
        found = difference(Arm("1", 1e-3, {"panel": dict(enumerate(won))}), base, "panel")
        assert found is not None
        held += found.interval.low <= 0.1 <= found.interval.high
    assert low <= held / DRAWS <= high
