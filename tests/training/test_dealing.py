"""Dealing rows out: every epoch takes each row once, and the rows of an update weigh 1 together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.rows import CPU, random_rows
from training.arguments import GroupConfig
from training.dealing import Dealing
from training.processes import Processes
from training.shares import passes


@given(
    count=st.integers(min_value=1, max_value=12),
    update_rows=st.integers(min_value=1, max_value=5),
    epochs=st.integers(min_value=1, max_value=3),
    processes=st.integers(min_value=1, max_value=3),
)
def test_every_epoch_takes_each_row_once(count: int, update_rows: int, epochs: int, processes: int):
    rows = random_rows(count)
    dealing = Dealing(rows, GroupConfig(update_rows=update_rows, epochs=epochs, use_cpu=True))
    shares = -(-count // update_rows)
    seen = []
    while not dealing.done:
        update = dealing.next()
        assert len(update) <= update_rows
        assert sum(row.weight * row.num_sampled for row in update) == pytest.approx(1.0)
        seen.append([id(row) for row in update])
    assert len(seen) == dealing.made == dealing.due == epochs * shares
    assert seen == seen[:shares] * epochs
    assert sorted(itertools.chain(*seen[:shares])) == sorted(map(id, rows))
    config = GroupConfig(update_rows=update_rows, use_cpu=True)
    own = [Dealing(rows, config, Processes(rank, processes)).own for rank in range(processes)]
    assert sorted(id(row) for part in own for row in part) == sorted(map(id, rows))


@given(
    masked=st.lists(st.booleans(), min_size=1, max_size=12),
    updates=st.integers(min_value=1, max_value=4),
    epochs=st.integers(min_value=1, max_value=2),
    processes=st.integers(min_value=1, max_value=3),
)
def test_a_process_learns_from_the_rows_that_it_rescans(masked: list[bool], updates: int, epochs: int, processes: int):
    """Also where some turn out to hold nothing to learn from: all others are learned from once, by whoever has them."""
    rows = random_rows(len(masked))
    ranks = [Processes(rank, processes) for rank in range(processes)]
    config = GroupConfig(tasks=1, group_size=12, updates=updates, epochs=epochs, use_cpu=True)
    dealings = [Dealing(rows, config, rank) for rank in ranks]
    own = [{id(row) for row in dealing.own} for dealing in dealings]
    for row, left_out in zip(rows, masked, strict=True):
        row.kept = np.full(row.num_sampled, not left_out)
    seen = list[int]()
    while not dealings[0].done:
        made = [passes(rank, dealing.next(), 40, CPU) for rank, dealing in zip(ranks, dealings, strict=True)]
        # As many passes in each, as they may hold collectives.
        assert len(set(map(len, made))) == 1
        learned = [{id(row) for batch in batches if batch for row in batch.rows} for batches in made]
        assert all(ids <= mine for ids, mine in zip(learned, own, strict=True))
        seen += [row for ids in learned for row in ids]
    wanted = [id(row) for row, left_out in zip(rows, masked, strict=True) if not left_out]
    assert sorted(seen) == sorted(wanted * epochs)


def test_a_row_without_a_token_to_learn_from_is_left_out():
    rows = random_rows(4)
    rows[1].kept = np.zeros(rows[1].num_sampled, dtype=bool)
    update = Dealing(rows, GroupConfig(updates=1, use_cpu=True)).next()
    assert [id(row) for row in update] == [id(rows[index]) for index in (0, 2, 3)]
    assert rows[1].weight == 0.0
