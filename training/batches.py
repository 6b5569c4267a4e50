"""From episodes with advantages to padded micro-batches.

A row is one episode as one growing token sequence, or one of its turns (agents.rows). Micro-batches hold rows of
similar length up to a token budget, padding included.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from agents.rows import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass
class TrainingRow:
    """A row and what the loss needs for each of its sampled tokens.

    Attributes:
        row: the token sequence.
        advantages: the advantage of each sampled token's turn, in order, (S,).
        old: log-probability of each sampled token under the weights that sampled, (S,).
        reference: the same under the reference policy, (S,), or None.
        group: what its group is called, here and in the estimators' columns.
        member: which of the group's episodes it is of.
        owner: the process that learns from it.
        weight: weight of each sampled token in the loss of its update.
        kept: False for sampled tokens that are left out of the loss, (S,); None if none is.
    """

    row: Row
    advantages: NDArray[np.float32]
    old: NDArray[np.float32]
    reference: NDArray[np.float32] | None = None
    group: str = ""
    member: int = 0
    owner: int = 0
    weight: float = 0.0
    kept: NDArray[np.bool_] | None = None

    @property
    def num_sampled(self) -> int:
        """Number of sampled tokens S."""
        return len(self.old)

    @property
    def num_kept(self) -> int:
        """Number of sampled tokens that the loss sees."""
        return self.num_sampled if self.kept is None else int(self.kept.sum())

    def token_weights(self) -> NDArray[np.float32]:
        """The weight of each sampled token in the loss, (S,)."""
        weights = np.full(self.num_sampled, self.weight, dtype=np.float32)
        return weights if self.kept is None else weights * self.kept


@dataclass
class MicroBatch:
    """Rows padded on the right to one length.

    Attributes:
        rows: the rows, B of them.
        tokens_BT: ids.
        predicts_BT: True where the next token was sampled.
        targets_S: all sampled ids, row by row.
    """

    rows: list[TrainingRow]
    tokens_BT: torch.Tensor
    predicts_BT: torch.Tensor
    targets_S: torch.Tensor

    def column(self, name: str) -> torch.Tensor:
        """One of "advantages", "old", "reference" over all sampled tokens, row by row, (S,)."""
        values = np.concatenate([getattr(row, name) for row in self.rows]).astype(np.float32)
        return torch.from_numpy(values).to(self.tokens_BT.device)

    def replies(self) -> torch.Tensor:
        """Which reply each sampled token belongs to, (S,): numbers from 0, ascending."""
        turns = [row.row.turn[row.row.sampled] for row in self.rows]
        firsts = np.concatenate([np.diff(turn, prepend=-1) != 0 for turn in turns])
        return torch.from_numpy(np.cumsum(firsts) - 1).to(self.tokens_BT.device)

    def weights(self) -> torch.Tensor:
        """Each sampled token's weight in the loss, (S,)."""
        weights = np.concatenate([row.token_weights() for row in self.rows])
        return torch.from_numpy(weights).to(self.tokens_BT.device)


def by_episode(rows: Sequence[TrainingRow]) -> list[list[list[TrainingRow]]]:
    """Rows that stand group by group and episode by episode: of each group its episodes, of those their rows."""
    groups = (list(group) for _, group in itertools.groupby(rows, key=lambda row: row.group))
    return [[list(part) for _, part in itertools.groupby(group, key=lambda row: row.member)] for group in groups]


def micro_batches(rows: Sequence[TrainingRow], max_tokens: int, device: torch.device) -> Iterator[MicroBatch]:
    """Splits rows into micro-batches of at most `max_tokens` padded tokens (at least one row each), longest rows first.

    The longest come first so that a run that does not fit in memory says so at once.
    """
    for group in grouped(rows, max_tokens):
        yield _pad(group, len(group[0].row.tokens), device)


def grouped(rows: Sequence[TrainingRow], max_tokens: int) -> list[list[TrainingRow]]:
    """The rows of each micro-batch, as `micro_batches` says."""
    ordered = sorted(rows, key=lambda row: -len(row.row.tokens))
    groups = []
    while ordered:
        count = max(1, max_tokens // len(ordered[0].row.tokens))
        groups.append(ordered[:count])
        ordered = ordered[count:]
    return groups


def _pad(rows: list[TrainingRow], length: int, device: torch.device) -> MicroBatch:
    tokens = np.zeros((len(rows), length), dtype=np.int64)
    predicts = np.zeros((len(rows), length), dtype=bool)
    for index, training_row in enumerate(rows):
        size = len(training_row.row.tokens)
        tokens[index, :size] = training_row.row.tokens
        predicts[index, : size - 1] = training_row.row.sampled[1:]
    targets = np.concatenate([row.row.tokens[row.row.sampled] for row in rows])
    return MicroBatch(
        rows,
        torch.from_numpy(tokens).to(device),
        torch.from_numpy(predicts).to(device),
        torch.from_numpy(np.asarray(targets, dtype=np.int64)).to(device),
    )
