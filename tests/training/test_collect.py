"""From a rollout to rows: which episodes are played, and which advantage stands on which token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.rollout import rollout
from agents.types import Episode, StopReason
from tests.agents.models import byte_tokenizer, model
from tests.training.guessing import Guess
from training.advantages import gigpo, grpo
from training.collect import Estimator, collect, from_episodes, with_signal
from training.tasks import iteration_keys

KEYS = iteration_keys(Guess(), 5, 2, 3, 4)
ESTIMATOR = Estimator(gigpo, gigpo.Config(), 10.0, 0.1)


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return rollout(Guess, TransformersPolicy(model(), byte_tokenizer(), Sampling(1.0, 4)), KEYS)


def test_an_iterations_tasks_follow_those_of_the_last():
    tasks = [list(dict.fromkeys(key.task for key in iteration_keys(Guess(), 5, number, 3, 2))) for number in range(4)]
    assert len({task for names in tasks for task in names}) == 12
    assert [key.task for key in KEYS] == [task for task in tasks[2] for _ in range(4)]
    assert [key.member for key in KEYS] == [0, 1, 2, 3] * 3
    assert {(key.seed, key.iteration) for key in KEYS} == {(5, 2)}
    assert {key.task for key in iteration_keys(Guess(), 6, 2, 3, 4)}.isdisjoint(key.task for key in KEYS)


def test_each_sampled_token_has_its_turns_advantage_and_its_own_probability(episodes: list[Episode]):
    collected = from_episodes(episodes, ESTIMATOR)
    assert len(collected.rows) == len(episodes)
    per_turn = ESTIMATOR.advantages(episodes)
    for episode, row, advantages in zip(episodes, collected.rows, per_turn, strict=True):
        assert (row.group, row.member) == (f"2/{episode.key.task}", episode.key.member)
        tokens = [token for turn in episode.turns for token in turn.tokens]
        assert row.row.tokens[row.row.sampled].tolist() == tokens
        expected = [value for value, turn in zip(advantages, episode.turns, strict=True) for _ in turn.tokens]
        np.testing.assert_allclose(row.advantages, expected, rtol=1e-6)
        likely = [value for turn in episode.turns for value in turn.logprobs]
        np.testing.assert_allclose(row.old, likely, rtol=1e-6)


def test_groups_do_not_mix(episodes: list[Episode]):
    whole = from_episodes(episodes, ESTIMATOR).rows
    alone = from_episodes(episodes[:4], ESTIMATOR).rows
    for one, other in zip(alone, whole, strict=False):
        np.testing.assert_allclose(one.advantages, other.advantages)


def test_success_is_told_task_by_task(episodes: list[Episode]):
    told = [replace(episode, won=number in (0, 5, 6)) for number, episode in enumerate(episodes)]
    collected = from_episodes(told, ESTIMATOR)
    assert collected.task_success() == [0.25, 0.5, 0.0]
    assert collected.metrics["success"] == pytest.approx(np.mean(collected.task_success()))


def test_the_columns_of_the_estimator(episodes: list[Episode]):
    columns = ESTIMATOR.columns(episodes)
    turns = [turn for episode in episodes for turn in episode.turns]
    assert {len(column) for column in columns.values()} == {len(turns)}
    assert columns["reward"].tolist() == [10.0 * turn.reward for turn in turns]
    assert columns["penalty"].tolist() == [0.0 if turn.valid else 0.1 for turn in turns]
    assert set(columns["penalty"]) == {0.1}
    assert columns["anchor"].tolist() == [turn.anchor for turn in turns]


def test_broken_and_empty_episodes_are_counted_and_left_out(episodes: list[Episode]):
    broken = Episode(KEYS[0], turns=episodes[0].turns, stop=StopReason.ERROR, error="it broke")
    silent = Episode(KEYS[1], stop=StopReason.CONTEXT)
    collected = from_episodes([broken, silent, *episodes[2:]], ESTIMATOR)
    assert len(collected.rows) == len(episodes) - 2
    assert (collected.metrics["errors"], collected.metrics["context_stops"]) == (1, 1)
    nothing = from_episodes([broken, silent], ESTIMATOR)
    assert nothing.rows == []
    assert nothing.metrics["zero_groups"] == 1.0


def test_metrics(episodes: list[Episode]):
    collected = from_episodes(episodes, Estimator(grpo, grpo.Config(), 1.0, 0.0))
    metrics, count = collected.metrics, len(episodes)
    assert metrics["success"] == metrics["reward"] == sum(episode.won for episode in episodes) / count
    assert 0 < metrics["success"] < 1
    assert metrics["invalid_actions"] == 1.0
    assert metrics["mean_turns"] == sum(len(episode.turns) for episode in episodes) / count
    assert metrics["sampled_tokens"] == sum(row.num_sampled for row in collected.rows)
    assert metrics["row_tokens"] == sum(len(row.row.tokens) for row in collected.rows)
    groups = [{episode.won for episode in episodes[start : start + 4]} for start in (0, 4, 8)]
    assert metrics["zero_groups"] == pytest.approx(sum(len(group) == 1 for group in groups) / 3)


def test_a_task_that_comes_again_in_a_later_rollout_is_another_group(episodes: list[Episode]):
    """A signal there says nothing of the episodes that had none."""
    again = [replace(episode, key=episode.key._replace(iteration=9)) for episode in episodes[:4]]
    rows = from_episodes([*episodes[:4], *again], ESTIMATOR).rows
    for row in rows:
        row.advantages[:] = row.group.startswith("9/")
    kept = with_signal(rows, 1)
    assert len({row.group for row in rows}) == 2
    assert [id(row) for row in kept] == [id(row) for row in rows[4:]]


def test_progress_is_told_of_every_episode():
    told: list[int] = []
    policy = TransformersPolicy(model(), byte_tokenizer(), Sampling(1.0, 4))
    collect(Guess, policy, KEYS[:4], ESTIMATOR, progress=told.append)
    assert told == [1] * 4
