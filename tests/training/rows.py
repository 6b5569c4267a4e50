"""Random training rows, for the tests of losses and gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from agents.rows import Row
from training.batches import TrainingRow, micro_batches
from training.logprobs import sampled_logprobs
from training.loss import LossConfig, LossParts, policy_loss, token_weights

CPU = torch.device("cpu")


def random_rows(count: int = 8, seed: int = 0, vocabulary: int = 400) -> list[TrainingRow]:
    """Rows of one to three turns. Some sampled probabilities are far enough from the model's to be clipped."""
    random = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        sampled = np.concatenate(
            [np.repeat([False, True], random.integers(1, 7, size=2)) for _ in range(random.integers(1, 4))]
        )
        turn = np.cumsum(np.diff(sampled.astype(int), prepend=1) == -1) - 1
        logprobs = np.where(sampled, -random.uniform(2, 8, size=len(sampled)), 0.0).astype(np.float32)
        row = Row(random.integers(0, vocabulary, size=len(sampled)), sampled, turn, logprobs)
        advantages = random.normal(size=turn[-1] + 1)[turn[sampled]].astype(np.float32)
        reference = (logprobs[sampled] + random.normal(size=sampled.sum(), scale=0.3)).astype(np.float32)
        rows.append(TrainingRow(row, advantages, logprobs[sampled], reference, group=str(index // 2), member=index % 2))
    return rows


def weigh(rows: Sequence[TrainingRow], mode: str, constant: int = 1) -> None:
    """Gives the rows the weights of one update."""
    lengths = np.array([row.num_sampled for row in rows])
    for row, weight in zip(rows, token_weights(lengths, mode, constant), strict=True):
        row.weight = float(weight)


def near_the_model(model: PreTrainedModel, rows: Sequence[TrainingRow], seed: int = 0) -> None:
    """Moves the sampled probabilities close to the model's: ratios of about 0.5 to 2."""
    random = np.random.default_rng(seed)
    for row in rows:
        (batch,) = micro_batches([row], 1, CPU)
        with torch.no_grad():
            logprobs, _ = sampled_logprobs(model, batch, 1.0)
        row.old = (logprobs.numpy() + random.normal(size=row.num_sampled, scale=0.3)).astype(np.float32)
        row.reference = (logprobs.numpy() + random.normal(size=row.num_sampled, scale=0.3)).astype(np.float32)


def backward(
    model: PreTrainedModel,
    rows: Sequence[TrainingRow],
    config: LossConfig,
    max_tokens: int = 10**6,
    temperature: float = 1.0,
) -> tuple[float, dict[str, torch.Tensor], list[LossParts]]:
    """The loss of one update, its gradient by parameter, and the parts of its micro-batches."""
    model.zero_grad(set_to_none=True)
    total, parts = 0.0, []
    for batch in micro_batches(rows, max_tokens, CPU):
        logprobs, entropy = sampled_logprobs(model, batch, temperature, entropy_gradient=bool(config.entropy_bonus))
        part = policy_loss(
            logprobs,
            batch.column("old"),
            batch.column("advantages"),
            batch.weights(),
            config,
            reference_T=batch.column("reference") if config.beta else None,
            entropy_T=entropy,
            replies_T=batch.replies() if config.ratio == "sequence" else None,
        )
        part.loss.backward()
        total += part.loss.item()
        parts.append(part)
    return total, {name: value.grad.clone() for name, value in model.named_parameters()}, parts
