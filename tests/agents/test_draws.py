"""Keyed draws: a pure function of what they are for."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.draws import player_seed, uniforms
from agents.types import EpisodeKey

KEYS = st.builds(EpisodeKey, st.integers(0, 2**40), st.integers(0, 10**6), st.text(max_size=20), st.integers(0, 100))


@given(KEYS, st.integers(0, 100), st.integers(0, 40), st.integers(0, 40))
def test_a_longer_draw_begins_with_a_shorter_one(key: EpisodeKey, turn: int, count: int, more: int) -> None:
    longer = uniforms(key, turn, count + more)
    assert longer.shape == (count + more,)
    assert (longer >= 0).all()
    assert (longer < 1).all()
    assert longer[:count].tolist() == uniforms(key, turn, count).tolist()


def test_every_part_of_the_key_counts() -> None:
    first = EpisodeKey(1, 2, "task", 3)
    others = [
        first._replace(seed=2),
        first._replace(iteration=1),
        first._replace(task="task2"),
        first._replace(member=4),
        EpisodeKey(12, 0, "task", 3),
        EpisodeKey(1, 20, "task", 3),
    ]
    draws = [uniforms(key, 0, 4).tolist() for key in (first, *others)] + [uniforms(first, 1, 4).tolist()]
    seeds = [player_seed(key) for key in (first, *others)]
    assert all(one != other for one, other in itertools.combinations(draws, 2))
    assert len(set(seeds)) == len(seeds)


def test_draws_are_uniform_and_unrelated() -> None:
    drawn = np.stack(
        [uniforms(EpisodeKey(0, 0, "task", member), turn, 8) for member in range(50) for turn in range(20)]
    )
    assert abs(drawn.mean() - 0.5) < 0.015
    assert abs(drawn.var() - 1 / 12) < 0.005
    assert np.abs(np.corrcoef(drawn.T) - np.eye(8)).max() < 0.15


def test_another_process_draws_the_same() -> None:
    key = EpisodeKey(7, 1, "kitchen/é", 2)
    code = f"from agents.draws import *; from agents.types import EpisodeKey; k = EpisodeKey{tuple(key)!r}; "
    code += "print(player_seed(k), uniforms(k, 3, 2).tolist())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"{player_seed(key)} {uniforms(key, 3, 2).tolist()}"
