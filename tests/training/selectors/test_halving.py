"""Successive halving: its budget, its yardstick, and what it calls clearly better."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.guessing import small_model
from tests.training.rows import CPU
from training import racing
from training.selectors import Probe, halving

TASKS = 16


class Track:
    """Blocks whose success rises at a speed of their own, with noise; counts what is trained."""

    def __init__(self, speeds: Sequence[float], noise: float = 0.01, seed: int = 0) -> None:
        self.speeds, self.trained = speeds, dict[int, int]()
        draw = np.random.default_rng(seed)
        # All blocks meet the same tasks: much of the noise is common to them.
        self.common = draw.normal(0, 5 * noise, 100)
        self.own = draw.normal(0, noise * TASKS**0.5, (len(speeds), 100, TASKS))

    def race(self, block: int, iterations: int) -> list[list[float]]:
        assert iterations >= self.trained.get(block, 0)
        self.trained[block] = iterations
        at = np.arange(iterations)[:, None]
        risen = self.speeds[block] * at + self.own[block, :iterations] * (at > 0)
        shares: list[list[float]] = (0.4 + risen + self.common[:iterations, None]).tolist()
        return shares


def probe(track: Track, iterations: int = 30, budget: float = 0.15) -> Probe:
    blocks = len(track.speeds)
    return Probe(small_model(1), blocks, list, CPU, 1.0, 1, 0, iterations=iterations, budget=budget, race=track.race)


@pytest.mark.parametrize("best", [0, 3, 7])
def test_the_fastest_block_is_found(best: int):
    track = Track([0.03 if block == best else 0.01 for block in range(8)])
    choice = halving.select(probe(track))
    assert choice.indices == (best,)
    scores = [block.score for block in choice.blocks]
    assert np.argmax(scores) == best
    # Eight of three iterations each, four of one more, two of four more.
    assert sorted(track.trained.values(), reverse=True) == [8, 8, 4, 4, 3, 3, 3, 3]


def test_where_no_block_is_clearly_better_the_middle_is_taken_and_that_is_said():
    taken = [halving.select(probe(Track([0.01] * 8, noise=0.03, seed=seed))) for seed in range(40)]
    assert sum(choice.indices == (3,) for choice in taken) >= 36
    assert any("did not clearly outrun the middle block 3" in choice.why for choice in taken)


@settings(deadline=None, max_examples=60)
@given(
    blocks=st.integers(1, 30),
    iterations=st.integers(0, 60),
    budget=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_the_budget_is_kept_and_the_middle_block_always_runs(blocks: int, iterations: int, budget: float, seed: int):
    track = Track(list(np.random.default_rng(seed).random(blocks) / 100), seed=seed)
    choice = halving.select(probe(track, iterations, budget))
    assert sum(track.trained.values()) <= budget * blocks * iterations
    assert all(racing.FEWEST <= count <= iterations for count in track.trained.values())
    center = (blocks - 1) // 2
    if track.trained:
        assert center in track.trained
        assert track.trained[center] == max(track.trained.values())
        assert choice.indices[0] in track.trained
    else:
        assert choice.indices == (center,)
        assert "too small" in choice.why


def test_a_small_budget_races_the_blocks_nearest_the_middle():
    track = Track([0.0] * 8)
    halving.select(probe(track, iterations=10, budget=0.1))
    assert sorted(track.trained) == [2, 3]


def test_candidates_that_are_left_out_do_not_run():
    track = Track([0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.0])
    result = racing.race(probe(track), [5, 6], 20)
    assert result is not None
    assert result.winner == 5
    assert sorted(track.trained) == [3, 5, 6]


def raced(shares: Callable[[int, int], list[list[float]]]) -> int:
    """The winner among three blocks, of twelve iterations."""
    result = racing.race(Probe(small_model(1), 3, list, CPU, 1.0, 1, 0, iterations=30, race=shares), range(3), 12)
    assert result is not None
    return result.winner


def test_few_gaps_that_happen_to_be_alike_prove_nothing():
    assert raced(lambda block, n: [[0.5 + 0.01 * (block == 2)] * TASKS] * n) == 1


def test_a_gap_that_grows_is_seen_where_its_mean_is_not_clear():
    """The first iterations of two blocks are alike whatever they will come to."""
    draw = np.random.default_rng(3)
    gaps = 0.002 * np.arange(1, 24)[:, None] + draw.normal(0, 0.1, (23, TASKS))
    found = racing._slope(gaps) / racing._needed(gaps, 1)
    assert found > 1
    assert racing._slope(gaps) == pytest.approx(0.002, abs=0.001)
    assert racing._slope(-gaps) < 0


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("count", [2, 12, 24])
def test_chance_alone_is_seldom_called_clear(count: int, grows: bool):
    """Whether gaps vary alike in all iterations, or more as policies part."""
    spread = 0.2 * (np.sqrt(np.arange(1, count + 1)) if grows else np.ones(count))
    draws = np.random.default_rng(0).normal(0, spread[:, None], (4000, count, TASKS))
    clear = np.mean([racing._slope(gaps) > racing._needed(gaps, 1) for gaps in draws])
    assert 0.025 < clear < 0.06


def test_two_iterations_of_many_tasks_can_be_clear():
    """Of 128 episodes one block wins 5 and then 8 that another loses, each of another task."""
    gaps = np.zeros((2, TASKS))
    gaps[0, :5] = gaps[1, :8] = 1 / 8
    assert racing._slope(gaps) > racing._needed(gaps, 2)
    assert racing._slope(gaps / 8) < racing._needed(gaps / 8, 2)


def test_iterations_of_a_single_task_are_enough_to_race():
    assert raced(lambda block, n: [[block * at] for at in range(n)]) == 2


def test_few_runners_are_spread_over_the_depth():
    assert racing.spread(range(8), 3, 2) == [7, 0]
    assert racing.spread(range(8), 3, 4) == [7, 0, 5, 1]
    assert racing.spread([3, 4], 3, 5) == [4]
    assert racing.spread(range(28), 13, 3) == [27, 0, 20]
    assert racing.spread(range(8), 3, 0) == []
