"""Which row lives in which slot of the cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.policies.ragged import RaggedCache


class Slots:
    """Keeps the rows that are asked at the front of the cache, where they can be read without copying.

    Attributes:
        lengths: (slots,) tokens of each slot's row that are in the cache; 0 where no row lives.
    """

    def __init__(self, cache: RaggedCache) -> None:
        """Starts without slots."""
        self._cache = cache
        self._rows: list[int | None] = []
        self._slots: dict[int, int] = {}
        self.lengths: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        """Number of slots."""
        return len(self._rows)

    def length(self, row: int) -> int:
        """Tokens of this row that are in the cache."""
        return int(self.lengths[self._slots[row]])

    def of(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """(R,) the slots of these rows."""
        return np.array([self._slots[row] for row in rows], dtype=np.int64)

    def take(self, row: int) -> None:
        """Gives a row a free slot, a new one if there is none."""
        if None not in self._rows:
            self._rows.append(None)
            self.lengths = np.append(self.lengths, 0)
        slot = self._rows.index(None)
        self._rows[slot], self._slots[row] = row, slot

    def restart(self, row: int) -> None:
        """Forgets what was read and said in a row."""
        self.lengths[self._slots[row]] = 0

    def free(self, row: int) -> None:
        """Takes a row's slot back."""
        slot = self._slots.pop(row)
        self._rows[slot] = None
        self.lengths[slot] = 0

    def bring_to_front(self, rows: Sequence[int]) -> list[int]:
        """Moves these R rows into slots 0 to R - 1; returns them in order of slot."""
        wanted = set(rows)
        behind = [self._slots[row] for row in rows if self._slots[row] >= len(rows)]
        ahead = [slot for slot in range(len(rows)) if self._rows[slot] not in wanted]
        if behind:
            length = int(self.lengths.max())
            self._cache.reserve(len(self), length)
            self._cache.swap(ahead, behind, length)
            self.lengths[[*ahead, *behind]] = self.lengths[[*behind, *ahead]]
        for first, second in zip(ahead, behind, strict=True):
            self._rows[first], self._rows[second] = self._rows[second], self._rows[first]
        self._slots = {row: slot for slot, row in enumerate(self._rows) if row is not None}
        return [row for row in self._rows[: len(rows)] if row is not None]
