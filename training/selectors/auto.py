"""`layer=auto`: the block whose gradient promises the largest gain of one Adam step.

One shared batch of real episodes in P groups, one backward pass a group for all blocks at once. With g_pi the gradient
of the policy loss in coordinate i on group p, the first-order gain of an Adam step of learning rate 1 is about sum_i
(E g_i)^2 / sqrt(E g_i^2). Its estimate for a block is

    score = sum_i (mean_p(g_pi)^2 - var_p(g_pi) / P) / (sqrt(mean_p(g_pi^2)) + eps)

where the subtraction removes the bias that noise alone would add (var is the sample variance). The standard error
comes from the jackknife over groups. If the best block is not clearly better than others, the one nearest the middle
of those it cannot be told apart from is taken: the prior of "Is One Layer Enough?" (arXiv 2607.01232). The best of many
noisy scores leads by chance, so clearly better means a lead of more standard errors of the difference than Student's t
with P - 1 degrees of freedom gives at 5 %, shared out over the L - 1 comparisons (Bonferroni). Left
out: trial updates and successive halving.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats

from agents.blocks import find_stack
from agents.targets import middle
from training.batches import TrainingRow, micro_batches, sampled_logprobs
from training.selectors import BlockScore, Choice, Probe

EPSILON = 1e-8
CHANCE = 0.05
"""How often blocks that are all alike may be taken for different."""
MAX_COORDINATES = 2**20


def select(probe: Probe) -> Choice:
    """Scores every block on the shared batch and chooses one."""
    groups = [rows for rows in probe.groups() if any(np.any(row.advantages) for row in rows)]
    if len(groups) < 3:
        index = middle(probe.num_blocks)[0]
        why = f"only {len(groups)} groups of the probe carried a learning signal, too few to compare: the middle block"
        return Choice("auto", (index,), why, tuple(BlockScore(block, None) for block in range(probe.num_blocks)))
    gradients = block_gradients(probe, groups)
    scores = [gain(gradient) for gradient in gradients]
    jackknifed = np.array([[gain(_without(gradient, left)) for left in range(len(groups))] for gradient in gradients])
    index, why = decide(np.array(scores), jackknifed)
    errors = [_standard_error(row) for row in jackknifed]
    blocks = tuple(
        BlockScore(block, score, {"standard_error": error, "gradient_norm": float(gradient.mean(0).norm())})
        for block, (score, error, gradient) in enumerate(zip(scores, errors, gradients, strict=True))
    )
    return Choice("auto", (index,), f"{why} (probe: {len(groups)} groups with a learning signal)", blocks)


def gain(gradients_PD: torch.Tensor) -> float:
    """Predicted first-order gain of an Adam step, from one gradient a group, (P, D)."""
    mean = gradients_PD.mean(0)
    noise = gradients_PD.var(0) / gradients_PD.shape[0]
    scale = gradients_PD.square().mean(0).sqrt() + EPSILON
    return float(((mean.square() - noise) / scale).sum())


def _without(gradients_PD: torch.Tensor, left_out: int) -> torch.Tensor:
    return torch.cat([gradients_PD[:left_out], gradients_PD[left_out + 1 :]])


def _standard_error(jackknifed_P: np.ndarray) -> float:
    count = len(jackknifed_P)
    return float(np.sqrt((count - 1) / count * np.sum((jackknifed_P - jackknifed_P.mean()) ** 2)))


def decide(scores_L: np.ndarray, jackknifed_LP: np.ndarray) -> tuple[int, str]:
    """Chooses a block from scores (L,) and their leave-one-group-out values (L, P); says why."""
    best = int(np.argmax(scores_L))
    num_blocks, num_groups = jackknifed_LP.shape
    most = float(stats.t.ppf(1 - CHANCE / max(num_blocks - 1, 1), num_groups - 1))
    rivals = [best]
    for block in range(len(scores_L)):
        error = _standard_error(jackknifed_LP[best] - jackknifed_LP[block])
        if block != best and scores_L[best] - scores_L[block] <= most * error:
            rivals.append(block)
    if len(rivals) == 1:
        return best, f"block {best} promises the largest first-order gain, clearly above every other block"
    center = (len(scores_L) - 1) / 2
    chosen = min(rivals, key=lambda block: (abs(block - center), -scores_L[block]))
    listed = ", ".join(str(block) for block in sorted(rivals))
    return chosen, f"blocks {listed} cannot be told apart on this batch; {chosen} is the nearest of them to the middle"


def block_gradients(probe: Probe, groups: Sequence[Sequence[TrainingRow]]) -> list[torch.Tensor]:
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
    for rows in groups:
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
