"""What an iteration comes to: sums over its updates, its times, and the report that is made of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from envs.pool import Counts
from training.collect import Collected
from training.detectors import Update
from training.memory import peak_bytes, reset_peak
from training.processes import Processes
from training.shares import costs_together
from training.synchronizing import Synchronizer
from training.watch import Finding


@dataclass
class IterationReport:
    """What is known after an iteration.

    Attributes:
        iteration: its number.
        metrics: averages over its episodes and tokens.
        cost: seconds, tokens a second, memory, and how often workers and episodes were begun again.
        collected: its episodes and rows.
        findings: what went wrong in it (`training.watch`).
    """

    iteration: int
    metrics: dict[str, float]
    cost: dict[str, float]
    collected: Collected
    findings: tuple[Finding, ...] = ()


class Tally:
    """Counts along with one iteration, from its beginning.

    Args:
        device: whose memory is watched.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums = {"loss": 0.0, "grad_norm": 0.0}
        self._made, self._largest = 0, 0.0
        # As they were before the present update, which may turn out not to be made.
        self._before, self._largest_now = dict(self._sums), 0.0
        self._learning_rate = 0.0
        self._counts = Counts()
        self._started = self._rolled_out = time.perf_counter()
        reset_peak(device)

    def rolled_out(self) -> None:
        """Notes that the last environment step is done: what comes now belongs to the updates."""
        self._rolled_out = time.perf_counter()

    def restarts(self, counts: Counts) -> None:
        """Notes what was begun again in the rollout."""
        self._counts = counts

    def rate(self, learning_rate: float) -> None:
        """Notes the learning rate of an update; the last one is reported."""
        self._learning_rate = learning_rate

    def add(self, values: Mapping[str, float]) -> None:
        """Adds to the sums over updates and tokens."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def saw(self, ratio: float) -> None:
        """Notes the largest probability ratio of a micro-batch."""
        # Also where that is no number, which is larger than none.
        self._largest_now = self._largest_now if self._largest_now >= ratio else ratio

    def update(self, processes: Processes) -> Update:
        """The present update, whose gradient is known; called by all processes."""
        own = {name: value - self._before.get(name, 0.0) for name, value in self._sums.items()}
        parts = processes.gather(own | {"ratio": self._largest_now})
        sums = {name: sum(part.get(name, 0.0) for part in parts) for name in ("loss", "kl", "reference_kl", "tokens")}
        tokens = max(sums["tokens"], 1.0)
        ratios = [part["ratio"] for part in parts]
        return Update(
            sums["loss"],
            own["grad_norm"],
            sums["kl"] / tokens,
            sums["reference_kl"] / tokens,
            max(ratios, key=lambda ratio: math.inf if math.isnan(ratio) else ratio),
        )

    def settle(self, *, made: bool) -> None:
        """Counts the present update in, or leaves it out of all averages."""
        if made:
            self._made += 1
            self._largest = max(self._largest, self._largest_now)
        else:
            self._sums = self._before
        self._before, self._largest_now = dict(self._sums), 0.0

    def metrics(self, collected: Collected, skipped: int, processes: Processes) -> dict[str, float]:
        """The iteration's averages over the updates that were made; called by all processes."""
        sums = processes.total(self._sums)
        tokens = max(sums.get("tokens", 0.0), 1.0)
        counts = {"updates": float(self._made), "skipped_updates": float(skipped)}
        if not self._made:
            return collected.metrics | counts
        return collected.metrics | {
            "loss": sums["loss"] / self._made,
            # Every process has the norm of the whole gradient.
            "grad_norm": self._sums["grad_norm"] / self._made,
            "clip_share": sums.get("clipped", 0.0) / tokens,
            "kl": sums.get("kl", 0.0) / tokens,
            "reference_kl": sums.get("reference_kl", 0.0) / tokens,
            "entropy": sums.get("entropy", 0.0) / tokens,
            "ratio_max": max(processes.gather(self._largest)),
            "learning_rate": self._learning_rate,
            **counts,
        }

    def cost(self, sampled_tokens: float, synchronizer: Synchronizer, processes: Processes) -> dict[str, float]:
        """What the iteration took until now; called by all processes."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        rollout_seconds = self._rolled_out - self._started - synchronizer.seconds
        own = {
            "seconds": now - self._started,
            "rollout_seconds": rollout_seconds,
            "update_seconds": now - self._rolled_out + synchronizer.seconds,
            "tokens_per_second": sampled_tokens / max(rollout_seconds, 1e-9),
            "peak_bytes": peak_bytes(self._device),
            **self._counts.as_cost(),
            **synchronizer.as_cost(),
        }
        return costs_together(processes, own)
