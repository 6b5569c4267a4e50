"""What training plays and what is kept back: apart from each other, in endless and in small splits."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from training.tasks import PROBE_TASKS, iteration_keys, keep_back, training_tasks


def split_of(size: int) -> Any:
    """What draws tasks of a split of that size, the whole of it again and again."""

    def sample_tasks(seed: int, count: int) -> list[str]:
        tasks: list[str] = []
        while len(tasks) < count:
            names = [f"task-{number}" for number in range(size)]
            random.Random(f"{seed} {len(tasks)}").shuffle(names)
            tasks += names
        return tasks[:count]

    return SimpleNamespace(sample_tasks=sample_tasks, describe_data=lambda: f"{size} tasks")


@given(size=st.integers(5, 300), count=st.integers(1, 400), seed=st.integers(0, 50), wanted=st.integers(1, 40))
def test_what_is_kept_back_is_never_trained_on(size: int, count: int, seed: int, wanted: int):
    env, panel = split_of(size), ["elsewhere-1"]
    tuning, probe = keep_back(env, seed, training_tasks(env, seed, count), panel, wanted)
    apart = {*tuning.tasks, *probe.tasks}
    assert 1 <= len(tuning.tasks) <= wanted
    assert len(probe.tasks) <= PROBE_TASKS
    assert len(apart) == len(tuning.tasks) + len(probe.tasks)
    played = training_tasks(env, seed, count, apart)
    assert len(played) == count
    assert apart.isdisjoint(played)
    # Where training leaves enough, it is not disturbed.
    if not apart.intersection(training_tasks(env, seed, count)):
        assert played == training_tasks(env, seed, count)


def test_a_small_split_keeps_a_fifth_back_for_temperatures_and_a_twentieth_for_selectors():
    env = split_of(400)
    tuning, probe = keep_back(env, 0, training_tasks(env, 0, 480), [], 128)
    assert (len(tuning.tasks), len(probe.tasks)) == (80, 16)


@given(aside=st.integers(0, 19), seed=st.integers(0, 9))
def test_an_iteration_goes_on_where_the_last_one_ended(aside: int, seed: int):
    env, apart = split_of(20), [f"task-{number}" for number in range(aside)]
    keys = [key for number in range(6) for key in iteration_keys(env, seed, number, 4, 2, apart)]
    assert [key.task for key in keys[::2]] == training_tasks(env, seed, 24, apart)


@given(size=st.integers(1, 20), tasks=st.integers(1, 24), group=st.integers(1, 4), iteration=st.integers(0, 3))
def test_no_episode_is_played_twice_with_the_same_draws(size: int, tasks: int, group: int, iteration: int):
    """Where a small split repeats a task within an iteration, its members are numbered on."""
    env = split_of(size)
    keys = iteration_keys(env, 0, iteration, tasks, group)
    names = training_tasks(env, 0, (iteration + 1) * tasks)[iteration * tasks :]
    assert [key.task for key in keys] == [name for name in names for _ in range(group)]
    assert len(set(keys)) == len(keys) == tasks * group
    for name in set(names):
        assert [key.member for key in keys if key.task == name] == list(range(group * names.count(name)))


def test_too_small_a_split_is_refused():
    env = split_of(4)
    with pytest.raises(InputError, match="no task is left for choosing temperatures"):
        keep_back(env, 0, training_tasks(env, 0, 8), [], 128)
    with pytest.raises(InputError, match="no task is left to train on: all 4 of 4 tasks are set aside"):
        training_tasks(env, 0, 1, env.sample_tasks(0, 4))
