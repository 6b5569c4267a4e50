"""What an iteration comes to: sums over its updates, its times, and the report that is made of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from envs.pool import Counts
from training.collect import Collected
from training.memory import peak_bytes, reset_peak
from training.processes import Processes
from training.shares import costs_together
from training.synchronizing import Synchronizer


@dataclass
class IterationReport:
    """What is known after an iteration.

    Attributes:
        iteration: its number.
        metrics: averages over its episodes and tokens.
        cost: seconds, tokens a second, memory, and how often workers and episodes were begun again.
        collected: its episodes and rows.
    """

    iteration: int
    metrics: dict[str, float]
    cost: dict[str, float]
    collected: Collected


class Tally:
    """Counts along with one iteration, from its beginning.

    Args:
        device: whose memory is watched.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums = {"loss": 0.0, "grad_norm": 0.0}
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

    def metrics(self, collected: Collected, updates: int, processes: Processes) -> dict[str, float]:
        """The iteration's averages; called by all processes."""
        sums = processes.total(self._sums)
        tokens = max(sums.get("tokens", 0.0), 1.0)
        return collected.metrics | {
            "loss": sums["loss"] / updates,
            # Every process has the norm of the whole gradient.
            "grad_norm": self._sums["grad_norm"] / updates,
            "clip_share": sums.get("clipped", 0.0) / tokens,
            "kl": sums.get("kl", 0.0) / tokens,
            "reference_kl": sums.get("reference_kl", 0.0) / tokens,
            "entropy": sums.get("entropy", 0.0) / tokens,
            "learning_rate": self._learning_rate,
            "updates": float(updates),
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
