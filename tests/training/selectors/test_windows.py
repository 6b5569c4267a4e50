"""Selectors where each turn is a row of its own: what they ask and what they count are episodes all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.prompts import manner_of
from tests.agents.models import byte_tokenizer
from tests.training.guessing import Guess, small_model
from tests.training.rows import CPU
from training import selectors
from training.advantages import gigpo
from training.batches import TrainingRow, by_episode, micro_batches
from training.collect import Estimator, collect
from training.selectors import Groups, Probe, adaptation, auto, removal, rows_of, trial
from training.tasks import iteration_keys

GROUPS, MEMBERS, BLOCKS = 12, 4, 2


def played(context: str) -> Groups:
    """Groups of real episodes of up to six turns."""
    policy = TransformersPolicy(
        small_model(BLOCKS), byte_tokenizer(), Sampling(1.0, 4), manner=manner_of(Guess, context)
    )
    keys = iteration_keys(Guess(), 0, 0, GROUPS, MEMBERS)
    estimator = Estimator(gigpo, gigpo.Config(), 10.0, 0.1)
    return by_episode(collect(lambda: Guess(max_turns=6), policy, keys, estimator).rows)


@pytest.fixture(scope="module")
def windowed() -> Groups:
    return played("window:1")


def whole(groups: Groups) -> Groups:
    """The same episodes, of each only its longest row."""
    return [[[max(episode, key=lambda row: len(row.row.tokens))] for episode in group] for group in groups]


def probe(groups: Groups) -> Probe:
    return Probe(small_model(BLOCKS), BLOCKS, lambda: groups, CPU, 1.0, 10**4, 0)


def episodes_of(rows: list[TrainingRow]) -> set[tuple[str, int]]:
    return {(row.group, row.member) for row in rows}


def test_rows_stand_by_group_and_episode(windowed: Groups):
    assert [len(group) for group in windowed] == [MEMBERS] * GROUPS
    assert max(len(episode) for group in windowed for episode in group) > 1
    assert len({row.group for group in windowed for row in rows_of(group)}) == GROUPS
    for group in windowed:
        assert [{row.member for row in episode} for episode in group] == [{member} for member in range(MEMBERS)]
        for episode in group:
            turns = [row.row.turn[row.row.sampled][0] for row in episode]
            assert turns == list(range(len(episode)))
    assert all(len(episode) == 1 for group in played("full") for episode in group)


def signal(groups: Groups) -> Groups:
    return [group for group in groups if any(np.any(row.advantages) for row in rows_of(group))]


@pytest.mark.parametrize("name", ["norm", "fisher", "snr", "trial", "adaptation", "removal"])
def test_what_was_learned_from_is_counted_in_episodes(name: str, windowed: Groups):
    # With a signal in every row, so that the same groups are taken either way.
    groups = signal(windowed)[:8]
    for row in (row for group in groups for row in rows_of(group)):
        row.advantages = row.advantages + np.float32(1e-3)
    counted = []
    for given in (probe(groups), probe(whole(groups))):
        selectors.find(name)(given)
        counted.append(given.learned_episodes)
    assert counted[0] == counted[1]
    if name in ("norm", "fisher", "snr"):
        assert counted[0] == {None: len(groups) * MEMBERS}


def test_removal_asks_all_turns_of_as_many_episodes(windowed: Groups, monkeypatch: pytest.MonkeyPatch):
    asked: list[Groups] = []
    losses = removal.losses
    monkeypatch.setattr(removal, "losses", lambda given, groups: asked.append(groups) or losses(given, groups))
    removal.select(probe(windowed))
    assert len(asked) == BLOCKS + 1
    for group, given in zip(asked[0], windowed, strict=True):
        assert [id(row) for row in rows_of(group)] == [id(row) for row in rows_of(given) if row.member < removal.ASKED]


@pytest.mark.parametrize("module", [adaptation, trial])
def test_an_update_takes_whole_episodes(module: Any, windowed: Groups, monkeypatch: pytest.MonkeyPatch):
    updates: list[list[TrainingRow]] = []

    def noted(rows: list[TrainingRow], *more: Any) -> Any:
        updates.append(rows)
        return micro_batches(rows, *more)

    monkeypatch.setattr(module, "micro_batches", noted)
    module.select(probe(windowed))
    rows = [row for group in windowed for row in rows_of(group)]
    seen = [part for part in updates if len({row.group for row in part}) > 1]
    assert seen
    for part in seen:
        members = episodes_of(part)
        assert sorted(map(id, part)) == sorted(id(row) for row in rows if (row.group, row.member) in members)
        if module is adaptation:
            assert len(members) == len({group for group, _ in members}) == adaptation.EPISODES


def test_a_race_is_as_affordable_as_without_a_window(windowed: Groups):
    """Having played 48 episodes leaves 17 of the 18 iterations that 15 % of four blocks' 30 are."""
    left = [
        auto._affordable(replace(probe(groups), num_blocks=4, iterations=30, sweep_episodes=4 * 30 * 64))
        for groups in (windowed, whole(windowed))
    ]
    assert left == [17, 17]
