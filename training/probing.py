"""Scores of blocks from gradients on the shared episodes, and the choice between noisy scores.

One backward pass a group gives every block's gradient. With g_pi the gradient of the policy loss in coordinate i on
group p of P, a block's score is one of

    norm      sqrt(sum_i mean(g_i)^2)                                 length of the mean gradient
    fisher    sum_i (mean(g_i)^2 - var(g_i) / P) / (mean(g_i^2) + eps)        in units of the diagonal empirical Fisher
    snr       sum_i (mean(g_i)^2 - var(g_i) / P) / sum_i var(g_i)             signal to noise
    gain      sum_i (mean(g_i)^2 - var(g_i) / P) / (sqrt(mean(g_i^2)) + eps)  first-order gain of one Adam step

where the subtraction removes the bias that noise alone would add (var is the sample variance). Standard errors come
from the jackknife over groups. The best of many noisy scores leads by chance, so a block counts as better only with a
lead of more standard errors of the difference than Student's t with P - 1 degrees of freedom gives at 5 %, shared out
over the L - 1 comparisons (Bonferroni); of blocks that cannot be told apart the one nearest the middle is taken, the
prior of "Is One Layer Enough?" (arXiv 2607.01232).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats

from agents.blocks import find_stack
from agents.targets import middle
from training.batches import micro_batches
from training.logprobs import sampled_logprobs
from training.processes import current
from training.selectors import BlockScore, Choice, Groups, Probe, rows_of

EPSILON = 1e-8
CHANCE = 0.05
"""How often blocks that are all alike may be taken for different."""
MAX_COORDINATES = 2**20
Score = Callable[[torch.Tensor], float]


def norm(gradients_PD: torch.Tensor) -> float:
    """Length of the mean gradient, from one gradient a group, (P, D)."""
    return float(gradients_PD.mean(0).norm())


def fisher(gradients_PD: torch.Tensor) -> float:
    """Squared mean gradient in units of the diagonal empirical Fisher information."""
    return float((_signal(gradients_PD) / (gradients_PD.square().mean(0) + EPSILON)).sum())


def signal_to_noise(gradients_PD: torch.Tensor) -> float:
    """Squared mean gradient over the variance between groups, both summed over coordinates."""
    noise = float(gradients_PD.var(0).sum())
    return float(_signal(gradients_PD).sum()) / noise if noise > 0 else 0.0


def gain(gradients_PD: torch.Tensor) -> float:
    """Predicted first-order gain of an Adam step of learning rate 1."""
    return float((_signal(gradients_PD) / (gradients_PD.square().mean(0).sqrt() + EPSILON)).sum())


def _signal(gradients_PD: torch.Tensor) -> torch.Tensor:
    """Squared mean of each coordinate, without what noise adds to it, (D,)."""
    return gradients_PD.mean(0).square() - gradients_PD.var(0) / gradients_PD.shape[0]


def informative(probe: Probe) -> Groups:
    """Plays the shared batch; only the groups with a learning signal."""
    return [group for group in probe.groups() if any(np.any(row.advantages) for row in rows_of(group))]


def select_by_gradient(probe: Probe, name: str, score: Score, promise: str) -> Choice:
    """Scores every block by its gradients on the shared batch and chooses one.

    Args:
        probe: what may be looked at.
        name: the selector's name.
        score: a block's score from one gradient a group, (P, D).
        promise: what a high score says, to follow "block 3".
    """
    groups = informative(probe)
    if len(groups) < 3:
        return too_few(probe, name, len(groups))
    gradients = block_gradients(probe, groups)
    probe.learned(None, sum(map(len, groups)))
    # Rounding may differ between devices, but all processes have to choose the same.
    scores = current().agree([score(gradient) for gradient in gradients])
    jackknifed = np.array(
        current().agree([[score(_without(gradient, left)) for left in range(len(groups))] for gradient in gradients])
    )
    index, why = decide(np.array(scores), jackknifed, promise)
    errors = [standard_error(row) for row in jackknifed]
    blocks = tuple(
        BlockScore(block, value, {"standard_error": error, "gradient_norm": norm(gradient)})
        for block, (value, error, gradient) in enumerate(zip(scores, errors, gradients, strict=True))
    )
    why = f"{why} (probe: {len(groups)} groups with a learning signal)"
    return Choice(name, (index,), why, blocks, tuple(sorted(leaders(np.array(scores), jackknifed))))


def select_by_groups(name: str, values_LP: np.ndarray, promise: str, note: str) -> Choice:
    """Chooses a block by a value that each has on every group; its score is their mean.

    Args:
        name: the selector's name.
        values_LP: higher is better, (L, P).
        promise: what a high score says, to follow "block 3".
        note: what it rests on.
    """
    left_out_LP = (values_LP.sum(1, keepdims=True) - values_LP) / (values_LP.shape[1] - 1)
    scores_L = values_LP.mean(1)
    index, why = decide(scores_L, left_out_LP, promise)
    blocks = tuple(
        BlockScore(block, float(score), {"standard_error": standard_error(row)})
        for block, (score, row) in enumerate(zip(scores_L, left_out_LP, strict=True))
    )
    return Choice(name, (index,), f"{why} ({note})", blocks, tuple(sorted(leaders(scores_L, left_out_LP))))


def too_few(probe: Probe, name: str, groups: int, had: str = "carried a learning signal") -> Choice:
    """The prior's choice, where the shared batch says nothing."""
    index = middle(probe.num_blocks)[0]
    why = f"only {groups} groups of the probe {had}, too few to compare: the middle block"
    blocks = range(probe.num_blocks)
    return Choice(name, (index,), why, tuple(BlockScore(block, None) for block in blocks), tuple(blocks))


def _without(gradients_PD: torch.Tensor, left_out: int) -> torch.Tensor:
    return torch.cat([gradients_PD[:left_out], gradients_PD[left_out + 1 :]])


def standard_error(jackknifed_P: np.ndarray) -> float:
    """Standard error of a score from its leave-one-group-out values, (P,)."""
    count = len(jackknifed_P)
    return float(np.sqrt((count - 1) / count * np.sum((jackknifed_P - jackknifed_P.mean()) ** 2)))


def leaders(scores_L: np.ndarray, jackknifed_LP: np.ndarray) -> list[int]:
    """The block of the best score (L,) and those that its lead over is not clear, by leave-one-out values (L, P)."""
    best = int(np.argmax(scores_L))
    num_blocks, num_groups = jackknifed_LP.shape
    most = float(stats.t.ppf(1 - CHANCE / max(num_blocks - 1, 1), num_groups - 1))
    rivals = [best]
    for block in range(len(scores_L)):
        error = standard_error(jackknifed_LP[best] - jackknifed_LP[block])
        if block != best and scores_L[best] - scores_L[block] <= most * error:
            rivals.append(block)
    return rivals


def decide(scores_L: np.ndarray, jackknifed_LP: np.ndarray, promise: str) -> tuple[int, str]:
    """Chooses a block from scores (L,) and their leave-one-group-out values (L, P); says why."""
    best, rivals = int(np.argmax(scores_L)), leaders(scores_L, jackknifed_LP)
    if len(rivals) == 1:
        return best, f"block {best} {promise}, clearly above every other block"
    center = (len(scores_L) - 1) / 2
    chosen = min(rivals, key=lambda block: (abs(block - center), -scores_L[block]))
    listed = ", ".join(str(block) for block in sorted(rivals))
    return chosen, f"blocks {listed} cannot be told apart on this batch; {chosen} is the nearest of them to the middle"


def block_gradients(probe: Probe, groups: Groups) -> list[torch.Tensor]:
    """The policy-loss gradient of every block on every group: L tensors (P, D) in float32 on the CPU.

    Of a block of more than `MAX_COORDINATES` parameters every n-th coordinate is kept, with n the same for all blocks,
    so that real models fit in memory and scores stay comparable. The loss is -A log pi averaged over the group's
    sampled tokens, whose gradient at the sampling weights equals that of the clipped loss.
    """
    stack = find_stack(probe.model)
    probe.model.requires_grad_(False)
    for block in stack.modules:
        block.requires_grad_(True)
    stride = max(1, max(sum(p.numel() for p in block.parameters()) for block in stack.modules) // MAX_COORDINATES)
    collected: list[list[torch.Tensor]] = [[] for _ in stack.modules]
    for rows in map(rows_of, groups):
        probe.model.zero_grad(set_to_none=True)
        total = sum(row.num_sampled for row in rows)
        for batch in micro_batches(rows, probe.micro_batch_tokens, probe.device):
            logprobs, _ = sampled_logprobs(probe.model, batch, probe.temperature)
            (-(batch.column("advantages") * logprobs).sum() / total).backward()
        for block, parts in zip(stack.modules, collected, strict=True):
            flat = [p.grad.detach().float().reshape(-1).cpu() for p in block.parameters() if p.grad is not None]
            parts.append(torch.cat(flat)[::stride].clone())
    probe.model.zero_grad(set_to_none=True)
    probe.model.requires_grad_(False)
    return [torch.stack(parts) for parts in collected]
