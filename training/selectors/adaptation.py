"""`layer=adaptation`: how much better each block alone learns to predict what the world says.

The shared groups are dealt into two halves. On one half a block is trained for a few Adam updates on the tokens that
the world said (what the policy said is context only), at the learning rate of training, and then put back; the other
half says by how many nats a token the prediction improved, at the better of two looks. A block that is out of order
mends itself best. That takes no reward, so it also works where nothing is won yet; what it says about the gain of
reinforcement learning is for a study to find out. Standard errors are a jackknife over groups; where blocks cannot be
told apart, the one nearest the middle is taken (`training.probing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from agents.blocks import find_stack
from training.batches import TrainingRow, micro_batches
from training.optimizer import MasterAdamW
from training.prediction import losses, world_loss
from training.probing import select_by_groups, too_few
from training.selectors import Choice, Groups, Probe, rows_of

LOOKS = (1, 4, 8)
"""Numbers of updates after which the other half is asked; the first is for the details alone."""
EPISODES = 4
"""Episodes an update, of different groups where there are so many."""
ASKED = 4
"""Episodes of each group of the other half that are asked."""
FEWEST = 6


def select(probe: Probe) -> Choice:
    """Trains every block on what the world says and chooses the one that gains most."""
    groups = [episodes for episodes in probe.groups() if episodes]
    if len(groups) < FEWEST:
        return too_few(probe, "adaptation", len(groups), "were played")
    learned, asked = groups[0::2], [episodes[:ASKED] for episodes in groups[1::2]]
    before_P = np.array(probe.memo("adaptation: before", partial(losses, probe, asked)))
    blocks = find_stack(probe.model).modules
    looks_LNP = np.stack([before_P - _looks(probe, index, block, learned, asked) for index, block in enumerate(blocks)])
    firsts_LP, later_LNP = looks_LNP[:, 0], looks_LNP[:, 1:]
    gains_LP = np.stack([max(looks_NP, key=lambda gains_P: float(gains_P.mean())) for looks_NP in later_LNP])
    note = f"probe: {len(groups)} groups"
    choice = select_by_groups("adaptation", gains_LP, "learns best to predict the world", note)
    firsts_L = firsts_LP.mean(1).tolist()
    scored = zip(choice.blocks, firsts_L, strict=True)
    return replace(choice, blocks=tuple(replace(b, details=b.details | {"first_update": first}) for b, first in scored))


def _looks(probe: Probe, index: int, block: nn.Module, learned: Groups, asked: Groups) -> np.ndarray:
    """Nats a token of each group asked at each look, (N, P)."""
    # Round after round, so that the episodes of an update are of different groups.
    places = range(max(map(len, learned)))
    episodes = [group[place] for place in places for group in learned if place < len(group)]
    probe.learned(index, EPISODES * max(LOOKS))
    name = f"adaptation at {', '.join(map(str, LOOKS))}: block {index}"
    flat = probe.memo(name, partial(_trial, probe, block, episodes, asked))
    return np.array(flat).reshape(len(LOOKS), len(asked))


def _trial(probe: Probe, block: nn.Module, episodes: Sequence[Sequence[TrainingRow]], asked: Groups) -> list[float]:
    """Trains a block, asks after each number of `LOOKS`, and puts it back; the losses one look after another."""
    before = [value.detach().clone() for value in block.parameters()]
    probe.model.requires_grad_(False)
    block.requires_grad_(True)
    optimizer = MasterAdamW(dict(block.named_parameters()), lr=probe.learning_rate, weight_decay=0.0)
    found: list[float] = []
    try:
        for update in range(max(LOOKS)):
            part = rows_of([episodes[(EPISODES * update + place) % len(episodes)] for place in range(EPISODES)])
            for batch in micro_batches(part, probe.micro_batch_tokens, probe.device):
                (world_loss(probe, batch).mean() * len(batch.rows) / len(part)).backward()
            optimizer.step()
            block.zero_grad(set_to_none=True)
            if update + 1 in LOOKS:
                found += losses(probe, asked)
    finally:
        with torch.no_grad():
            for value, old in zip(block.parameters(), before, strict=True):
                value.copy_(old)
        probe.model.requires_grad_(False)
    return found
