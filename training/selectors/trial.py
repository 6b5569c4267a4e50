"""`layer=trial`: a few trial updates of every block on shared episodes, judged on episodes they did not see.

The shared groups are dealt into two halves. For each block, a few Adam updates of the clipped loss are made on one half
and undone; the other half says what they gained: with r the probability ratio to the sampling weights and A the
advantage, the mean over its tokens of min(r A, clip(r) A) - A, the surrogate that training maximises. Then the halves
change places. Groups give the standard error (jackknife), and where blocks cannot be told apart the one nearest the
middle is taken (`training.probing`). Unlike a first-order gain this sees how far a block can move before it hurts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from agents.blocks import find_stack
from training.batches import TrainingRow, micro_batches
from training.logprobs import sampled_logprobs
from training.loss import LossConfig, policy_loss
from training.optimizer import MasterAdamW
from training.probing import informative, select_by_groups, too_few
from training.selectors import Choice, Groups, Probe, rows_of

UPDATES = 4
FEWEST = 6


def select(probe: Probe) -> Choice:
    """Tries every block on the shared batch and chooses one."""
    groups = informative(probe)
    if len(groups) < FEWEST:
        return too_few(probe, "trial", len(groups))
    halves = (list(range(0, len(groups), 2)), list(range(1, len(groups), 2)))
    gains_LP = np.array(
        [
            probe.memo(f"trial: block {index}", partial(_gains, probe, block, groups, halves))
            for index, block in enumerate(find_stack(probe.model).modules)
        ]
    )
    for index in range(probe.num_blocks):
        probe.learned(index, sum(map(len, groups)))
    note = f"trial: {len(groups)} groups, {UPDATES} updates a half"
    return select_by_groups("trial", gains_LP, "gains most by trial updates on unseen episodes", note)


def _gains(probe: Probe, block: nn.Module, groups: Groups, halves: tuple[Sequence[int], Sequence[int]]) -> list[float]:
    """What trial updates of a block gained on each group, (P,), each measured after updates on the other half."""
    before = [value.detach().clone() for value in block.parameters()]
    gains = [0.0] * len(groups)
    for seen, unseen in (halves, halves[::-1]):
        _update(probe, block, [episode for group in seen for episode in groups[group]])
        with torch.no_grad():
            for group in unseen:
                gains[group] = _surrogate(probe, rows_of(groups[group]))
            for value, old in zip(block.parameters(), before, strict=True):
                value.copy_(old)
    probe.model.requires_grad_(False)
    return gains


def _update(probe: Probe, block: nn.Module, episodes: Sequence[Sequence[TrainingRow]]) -> None:
    probe.model.requires_grad_(False)
    block.requires_grad_(True)
    optimizer = MasterAdamW(dict(block.named_parameters()), lr=probe.learning_rate, weight_decay=0.0)
    for update in range(UPDATES):
        part = rows_of(episodes[update::UPDATES])
        weight = 1.0 / max(sum(row.num_sampled for row in part), 1)
        for batch in micro_batches(part, probe.micro_batch_tokens, probe.device):
            logprobs, _ = sampled_logprobs(probe.model, batch, probe.temperature)
            weights = torch.full_like(logprobs, weight)
            policy_loss(
                logprobs, batch.column("old"), batch.column("advantages"), weights, LossConfig()
            ).loss.backward()
        optimizer.step()
        block.zero_grad(set_to_none=True)


def _surrogate(probe: Probe, rows: Sequence[TrainingRow]) -> float:
    """The clipped surrogate a token minus that of unchanged weights."""
    total, count = 0.0, 0
    for batch in micro_batches(rows, probe.micro_batch_tokens, probe.device):
        logprobs, _ = sampled_logprobs(probe.model, batch, probe.temperature)
        advantages = batch.column("advantages")
        weights = torch.ones_like(logprobs)
        parts = policy_loss(logprobs, batch.column("old"), advantages, weights, LossConfig())
        total += float(-parts.loss - advantages.sum())
        count += parts.num_tokens
    return total / max(count, 1)
