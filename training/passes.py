"""Passes of the trained model over rows: with gradients for the loss, without for log-probabilities.

What lies below the target is computed once an iteration (`agents.prefix`) where several passes need it. The reference
policy, if `beta` is not 0, is the same model with a frozen copy of the target's tensors; for the target `full` that
copy is a second model in size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from agents.prefix import FrozenPrefix
from agents.targets import Target
from training import sharding
from training.arguments import GroupConfig
from training.batches import MicroBatch, TrainingRow, micro_batches
from training.logprobs import sampled_logprobs
from training.loss import LossParts, policy_loss
from training.mismatch import correct
from training.shares import idle_batch


class Passes:
    """Runs a model over rows.

    Args:
        model: the model.
        target: its trained part.
        trained: the parameters of that by name.
        config: the trainer's arguments.
        rescans: whether the sampler's log-probabilities are not the trainer's own to the last bits, so that they have
            to be computed again.

    Attributes:
        rescans: as given.
        reference: the reference policy's tensors by name; None if `beta` is 0.
        prefix: what lies below the target, where more than one pass of an iteration reads it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        target: Target,
        trained: Mapping[str, nn.Parameter],
        config: GroupConfig,
        *,
        rescans: bool,
    ) -> None:
        self._model, self._trained, self._config = model, trained, config
        self.rescans = rescans
        self.reference = self._copied() if config.loss.beta else None
        self.prefix: FrozenPrefix | None = None
        if target.lowest and config.epochs + bool(config.loss.beta) + rescans >= 2 and config.prefix_bytes:
            budgets = {"budget": config.prefix_bytes, "host_budget": config.prefix_host_bytes}
            self.prefix = FrozenPrefix(model, target, **budgets)

    def renew(self, trained: Mapping[str, nn.Parameter]) -> None:
        """Takes parameters that have become other objects, and keeps nothing below the target any more."""
        self._trained, self.prefix = trained, None
        if self.reference is not None:
            self.reference = self._copied()

    def begin(self) -> None:
        """Forgets what was kept of an earlier iteration."""
        if self.prefix is not None:
            self.prefix.clear()

    def loss(self, batch: MicroBatch, through: nn.Module) -> LossParts:
        """The loss of a micro-batch, whose backward pass is still to be made.

        Args:
            batch: the micro-batch.
            through: what is called, the model or what wraps it.
        """
        config = self._config
        logprobs, entropy = sampled_logprobs(
            self._model,
            batch,
            config.temperature,
            entropy_gradient=bool(config.loss.entropy_bonus),
            prefix=self.prefix,
            through=through,
        )
        return policy_loss(
            logprobs,
            batch.column("old"),
            batch.column("advantages"),
            batch.weights(),
            config.loss,
            reference_T=batch.column("reference") if config.loss.beta else None,
            entropy_T=entropy,
            replies_T=batch.replies() if config.loss.ratio == "sequence" else None,
        )

    def idle(self, through: nn.Module, device: torch.device) -> torch.Tensor:
        """A loss of 0, for a pass in step with those of processes that have more rows."""
        logprobs, _ = sampled_logprobs(self._model, idle_batch(device), self._config.temperature, through=through)
        return logprobs.sum() * 0.0

    @torch.no_grad()
    def score(self, rows: Sequence[TrainingRow], column: str) -> None:
        """Log-probabilities of all rows under the present weights, written into one of the rows' columns.

        Only needed where the sampler's own are not exact: below float32 cached decoding rounds differently, and an
        engine with weights of its own always does.
        """
        model, config = self._model, self._config
        with sharding.gathered(model):
            for batch in micro_batches(rows, config.micro_batch_tokens, model.device):
                values, _ = sampled_logprobs(model, batch, config.temperature, prefix=self.prefix)
                ends = np.cumsum([row.num_sampled for row in batch.rows])
                for row, part in zip(batch.rows, np.split(values.float().cpu().numpy(), ends[:-1]), strict=True):
                    setattr(row, column, part)

    def rescan(self, rows: Sequence[TrainingRow]) -> dict[str, float]:
        """Puts what the sampler says of rows right by what the trainer does (`training.mismatch`).

        Returns:
            The figures of `training.mismatch.correct`.
        """
        sampled = [row.old for row in rows]
        self.score(rows, "old")
        return correct(rows, sampled, self._config.mismatch, self._config.mismatch_cap)

    def score_reference(self, rows: Sequence[TrainingRow]) -> None:
        """The same under the reference policy, into the column "reference", if there is one."""
        if self.reference is not None:
            current = self._copied()
            self.write(self.reference)
            self.score(rows, "reference")
            self.write(current)

    @torch.no_grad()
    def write(self, values: Mapping[str, torch.Tensor]) -> None:
        """Gives trained parameters these values, by name."""
        for name, value in values.items():
            self._trained[name].copy_(value)

    def _copied(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self._trained.items()}
