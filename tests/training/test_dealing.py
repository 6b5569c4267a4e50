"""Dealing rows out: every epoch takes each row once, and the rows of an update weigh 1 together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.rows import random_rows
from training.arguments import GroupConfig
from training.dealing import Dealing
from training.processes import Processes


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
    own = [dealing.own(Processes(rank, processes)) for rank in range(processes)]
    assert sorted(id(row) for part in own for row in part) == sorted(map(id, rows))


def test_a_row_without_a_token_to_learn_from_is_left_out():
    rows = random_rows(4)
    rows[1].kept = np.zeros(rows[1].num_sampled, dtype=bool)
    update = Dealing(rows, GroupConfig(updates=1, use_cpu=True)).next()
    assert [id(row) for row in update] == [id(rows[index]) for index in (0, 2, 3)]
    assert rows[1].weight == 0.0
