"""An iteration's rows dealt out: which of them each update learns from, in every epoch, and what they weigh there.

Which process learns from a row is settled once, before any row is found to hold nothing to learn from: no other process
knows what the trainer's own pass says of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.arguments import GroupConfig
from training.batches import TrainingRow
from training.loss import token_weights
from training.processes import ALONE, Processes
from training.shares import deal


class Dealing:
    """The updates of one iteration, handed out one after the other. Every epoch deals the rows alike.

    Args:
        rows: all rows of the iteration, those of all processes, which get their owners; those of an update get their
            weights as it is due.
        config: how many updates there are, how many epochs, and how token losses are summed.
        processes: who learns from them.

    Attributes:
        own: the rows of the iteration that this process learns from.
        made: updates handed out so far.
        due: how many there are.
    """

    def __init__(self, rows: Sequence[TrainingRow], config: GroupConfig, processes: Processes = ALONE) -> None:
        self._rows, self._config = rows, config
        self._shares = config.updates_of(len(rows))
        self.made, self.due = 0, config.epochs * self._shares
        for share in range(self._shares):
            deal(self._rows_of(share), processes.count)
        self.own = [row for row in rows if row.owner == processes.rank]

    @property
    def done(self) -> bool:
        """Whether the last update was handed out."""
        return self.made == self.due

    def next(self) -> list[TrainingRow]:
        """The rows of the next update that hold a token to learn from, weighted; those of all processes."""
        rows = self._rows_of(self.made % self._shares)
        self.made += 1
        for row in rows:
            row.weight = 0.0
        rows = [row for row in rows if row.num_kept]
        lengths = np.array([row.num_kept for row in rows], dtype=np.int64)
        weights = token_weights(lengths, self._config.aggregation, self._config.aggregation_length)
        for row, weight in zip(rows, weights, strict=True):
            row.weight = float(weight)
        return rows

    def _rows_of(self, share: int) -> list[TrainingRow]:
        return list(self._rows[share :: self._shares])
