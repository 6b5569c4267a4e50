"""Two arms at equal cost: after equally many sampled tokens, and after equally many seconds of training.

The cheaper arm's total is the budget; the dearer arm is scored with the weights it had when it was last within it, or
not at all where these are lost, which only training it again would bring back. The
layer's arm is trained first, so its weights, which are small, are kept after every iteration. The full arm then keeps
only the last weights within what the layer's arm spent, one file a quantity, as each is a second model in size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents import deltas
from training import checkpoint
from training.running import Run, arm_folder, outcome

QUANTITIES: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "tokens": lambda row: float(row["sampled_tokens"]),
    "wall_clock": lambda row: float(row["cost"]["seconds"]),
}
"""What is made equal, from a row of an arm's history."""
History = Sequence[Mapping[str, Any]]


def spent(history: History, kind: str) -> np.ndarray[Any, Any]:
    """What an arm had spent of a quantity after each iteration, (iterations,)."""
    return np.cumsum([QUANTITIES[kind](row) for row in history])


def total(history: History, kind: str) -> float:
    """What an arm spent of a quantity in all."""
    return float(sum(QUANTITIES[kind](row) for row in history))


@dataclass(frozen=True)
class Snapshots:
    """The weights of one arm that a comparison at equal cost may need.

    Attributes:
        folder: where they are kept while the run lasts.
        budgets: what the other arm spent, by quantity; None if that is not known yet.
    """

    folder: Path
    budgets: Mapping[str, float] | None = None

    def keep(self, history: History, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keeps the present weights if they may be needed.

        Args:
            history: the arm's iterations so far.
            tensors: the trained tensors by parameter name.
        """
        names = [self._numbered(len(history))]
        if self.budgets is not None:
            names = [kind for kind, budget in self.budgets.items() if total(history, kind) <= budget]
        for name in names:
            values = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
            checkpoint.save(self.folder / f"{name}.safetensors", values, {"iterations": len(history)})

    def within(self, history: History, kind: str, budget: float) -> tuple[dict[str, torch.Tensor] | None, int]:
        """Finds the last weights within a budget.

        Args:
            history: the arm's whole history.
            kind: the quantity.
            budget: how much of it may have been spent.

        Returns:
            The tensors and the number of iterations behind them; ({}, 0) for the base policy's, and None for tensors
            whose file is gone or spoilt.
        """
        iterations = int(np.searchsorted(spent(history, kind), budget, side="right"))
        file = self.folder / f"{self._numbered(iterations) if self.budgets is None else kind}.safetensors"
        if iterations == 0:
            return {}, 0
        if not checkpoint.is_whole(file):
            return None, iterations
        tensors, counters = checkpoint.load(file)
        return tensors, int(counters["iterations"])

    @staticmethod
    def _numbered(iterations: int) -> str:
        return f"after-{iterations:05d}"


def snapshots(run: Run, arm: str, stages: Mapping[str, Any]) -> Snapshots:
    """What an arm of a run has to keep; the layer's arm comes first."""
    budgets = None
    if arm != "layer":
        history = stages["layer"]["training"]["history"]
        budgets = {kind: total(history, kind) for kind in QUANTITIES}
    return Snapshots(arm_folder(run, arm), budgets)


def compare(run: Run, stages: Mapping[str, Any], base: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Scores both arms at equal cost.

    Args:
        run: the run; its model holds the base weights before and after.
        stages: outcomes of the stages "base", "layer" and "full".
        base: the base policy's weights.

    Returns:
        By quantity and arm: iteration, success and its interval; both None, and why, where the weights are lost.
    """
    histories = {arm: stages[arm]["training"]["history"] for arm in ("layer", "full")}
    result: dict[str, Any] = {}
    for kind in QUANTITIES:
        budget = min(total(history, kind) for history in histories.values())
        result[kind] = {arm: _at(run, stages, arm, kind, budget, base) for arm in histories}
    return result


def _at(
    run: Run, stages: Mapping[str, Any], arm: str, kind: str, budget: float, base: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """The panel's outcome of an arm's policy within a budget, at the temperature of its last policy."""
    history, evaluation = stages[arm]["training"]["history"], stages[arm]["evaluation"]
    iterations = len(history)
    if total(history, kind) > budget:
        tensors, iterations = snapshots(run, arm, stages).within(history, kind, budget)
        if tensors is None:
            why = f"the {arm} arm's weights after {iterations} iterations were lost from the run's folder"
            return {"iteration": iterations, "success": None, "interval": None, "why_null": why}
        if iterations == 0:
            evaluation = stages["base"]["evaluation"]
        else:
            deltas.apply(run.model, tensors)
            title = f"{arm} after {iterations} iterations"
            # What the clock chose may differ between equal runs, whose episodes.jsonl may not.
            temperature, purpose = evaluation["temperature"], None if kind == "wall_clock" else f"equal {kind}"
            evaluation = outcome(run.play(run.panel, temperature, title, arm=arm, purpose=purpose))
            deltas.revert(run.model, base)
    return {"iteration": iterations, "success": evaluation["success"], "interval": evaluation["interval"]}
