"""What a pool counts."""

from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """What a pool has done so far beside playing.

    Attributes:
        restarted: workers that were lost and started again.
        recycled: workers that were replaced because of their memory.
        replayed: times that an episode was begun again because it, or its worker, had failed.
        failed: episodes that ended as an error.
    """

    restarted: int = 0
    recycled: int = 0
    replayed: int = 0
    failed: int = 0

    def since(self, before: Counts) -> Counts:
        """What was done after `before`."""
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))

    def as_cost(self) -> dict[str, int]:
        """How metrics and scores record it, below `cost`: equal runs may differ in it."""
        return {"workers_restarted": self.restarted + self.recycled, "episodes_replayed": self.replayed}

    @property
    def line(self) -> str:
        """One line for people."""
        return (
            f"workers: {self.restarted} restarted, {self.recycled} replaced for their memory; episodes: "
            f"{self.replayed} begun again, {self.failed} ended as an error"
        )
