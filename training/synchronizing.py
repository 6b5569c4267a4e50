"""Weights to a sampler that has its own, before every rollout, and nothing from an older one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from agents.policies.synced import ModelPolicy, Synced, SyncError, SyncReport
from agents.types import Episode

if TYPE_CHECKING:
    import torch


class Synchronizer:
    """Syncs a trainer's policy, if it is one that must be, and counts what that cost.

    Attributes:
        report: of the last sync; None if there was none.
        seconds: the last one took.
    """

    def __init__(self) -> None:
        """Begins with no sync."""
        self.report: SyncReport | None = None
        self.seconds = 0.0

    def begin(self, policy: ModelPolicy, weights: Callable[[], Mapping[str, torch.Tensor]], version: int) -> None:
        """Gives the policy the present weights of the target under this version.

        Raises:
            SyncError: its sampler does not have them.
        """
        if isinstance(policy, Synced):
            started = time.perf_counter()
            self.report = policy.sync(weights(), version)
            self.seconds = time.perf_counter() - started

    def version(self, policy: ModelPolicy, version: int) -> int:
        """The version of what the policy samples: the sampler's own, if it has one."""
        return policy.version if isinstance(policy, Synced) else version

    def refuse_stale(self, episodes: Sequence[Episode], version: int) -> None:
        """Makes sure that episodes were sampled by the present weights.

        Raises:
            SyncError: some were not.
        """
        stale = sorted({episode.policy_version for episode in episodes} - {version})
        if stale:
            raise SyncError(
                f"the trainer is at weights {version}, but episodes were sampled with weights {stale[0]}: stale "
                "samples are refused."
            )

    def as_cost(self) -> dict[str, float]:
        """What the last sync cost: seconds and bytes; empty where nothing is synced."""
        if self.report is None:
            return {}
        return {"sync_seconds": self.seconds, "sync_bytes": float(self.report.bytes)}
