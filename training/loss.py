"""The clipped policy-gradient loss on sampled tokens.

For token t of row i with advantage A, ratio r = pi(y_it) / pi_old(y_it) and weight w (see `token_weights`):

    L = sum_it w_it * ( -S + beta * k3 - entropy_bonus * H )
    S = min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), and where A < 0 with dual clip c: max(S, c A)
    k3 = exp(d) - d - 1,  d = log pi_ref - log pi          (GRPO, arXiv 2402.03300)

Dual clip (arXiv 1912.09729) bounds what a token that became much likelier in spite of a negative advantage can do.

The weights of one update sum over all its rows, so the loss of a micro-batch is a plain sum and the split into
micro-batches changes nothing. Aggregation modes as in the survey of the field: "token_mean" (DAPO, arXiv 2503.14476,
and the published GiGPO code), "sequence_mean_token_mean" (GRPO), "sequence_mean_token_sum", and
"sequence_mean_token_sum_norm", which divides by a constant length instead (Dr. GRPO, arXiv 2503.20783).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from envs.errors import InputError, unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATIOS = ("token", "sequence")
AGGREGATIONS = ("token_mean", "sequence_mean_token_mean", "sequence_mean_token_sum", "sequence_mean_token_sum_norm")


@dataclass(frozen=True)
class LossConfig:
    """Coefficients of the loss.

    Attributes:
        clip_low: lower clip distance.
        clip_high: upper clip distance.
        beta: weight of the k3 estimate of KL(pi || pi_ref).
        entropy_bonus: weight of the entropy, subtracted from the loss.
        ratio: one probability ratio a token, or one a reply, the geometric mean over it (GSPO, arXiv 2507.18071).
        dual_clip: c of the dual clip, above 1; 0 for none.

    Raises:
        InputError: unknown ratio, or a dual clip that would also bound ratios below 1.
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    beta: float = 0.0
    entropy_bonus: float = 0.0
    ratio: str = "token"
    dual_clip: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ratio and the dual clip."""
        if self.dual_clip and not self.dual_clip > 1:
            raise InputError(f"dual_clip={self.dual_clip:g}: more than 1 is needed, or 0 for none.")
        if self.ratio not in RATIOS:
            raise unknown("ratio", self.ratio, RATIOS)


def token_weights(lengths_B: NDArray[np.int64], mode: str, constant: int = 1) -> NDArray[np.float64]:
    """Weight of every sampled token of each row in the loss of one update.

    Args:
        lengths_B: sampled tokens of each row of the update, (B,).
        mode: one of `AGGREGATIONS`.
        constant: the divisor of "sequence_mean_token_sum_norm", in tokens.

    Returns:
        (B,) weights; a row's tokens all weigh the same.

    Raises:
        InputError: unknown mode.
    """
    num_rows = len(lengths_B)
    if mode == "token_mean":
        return np.full(num_rows, 1.0 / max(int(lengths_B.sum()), 1))
    if mode == "sequence_mean_token_mean":
        return 1.0 / (num_rows * np.maximum(lengths_B, 1).astype(np.float64))
    if mode == "sequence_mean_token_sum":
        return np.full(num_rows, 1.0 / max(num_rows, 1))
    if mode == "sequence_mean_token_sum_norm":
        return np.full(num_rows, 1.0 / (max(num_rows, 1) * constant))
    raise unknown("aggregation", mode, AGGREGATIONS)


@dataclass
class LossParts:
    """The loss of one micro-batch and what is logged beside it (sums over its tokens, no gradient).

    Attributes:
        loss: scalar to call backward on.
        clipped: number of tokens whose ratio was clipped against its advantage.
        kl: sum of the k3 estimate of KL(pi_old || pi) style drift from the sampling policy.
        reference_kl: sum of the k3 estimate against the reference; 0 without one.
        entropy: sum of token entropies; 0 if no entropy was given.
        ratio: the largest probability ratio, before any clipping; 0 without tokens.
        num_tokens: tokens in the micro-batch.
    """

    loss: torch.Tensor
    clipped: float
    kl: float
    reference_kl: float
    entropy: float
    ratio: float
    num_tokens: int


def k3(logprobs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """exp(d) - d - 1 with d = other - logprobs: an unbiased, never negative estimate of KL(pi || other)."""
    difference = other - logprobs
    return torch.expm1(difference) - difference


def _mean_within(values_T: torch.Tensor, labels_T: torch.Tensor) -> torch.Tensor:
    """Every value's mean over those of its label, (T,)."""
    size = int(labels_T.max()) + 1 if len(labels_T) else 0
    total = values_T.new_zeros(size).index_add(0, labels_T, values_T)
    number = torch.bincount(labels_T, minlength=size).to(values_T.dtype)
    return (total / number)[labels_T]


def policy_loss(
    logprobs_T: torch.Tensor,
    old_T: torch.Tensor,
    advantages_T: torch.Tensor,
    weights_T: torch.Tensor,
    config: LossConfig,
    *,
    reference_T: torch.Tensor | None = None,
    entropy_T: torch.Tensor | None = None,
    replies_T: torch.Tensor | None = None,
) -> LossParts:
    """Computes the loss over the sampled tokens of a micro-batch.

    Args:
        logprobs_T: log pi of each sampled token under the weights being trained, (T,), with gradient.
        old_T: the same under the weights that sampled, (T,).
        advantages_T: the advantage of each token's turn, (T,).
        weights_T: the weight of each token, (T,), from `token_weights`.
        config: coefficients.
        reference_T: log pi_ref, (T,); needed if `config.beta` is not 0.
        entropy_T: entropy of the policy at each token, (T,) in nats; needed if `config.entropy_bonus` is not 0.
        replies_T: number of the reply that each token belongs to, (T,), ascending from 0; needed if `config.ratio` is
            "sequence".

    Returns:
        The loss and its logged parts.
    """
    log_ratio = logprobs_T - old_T
    if config.ratio == "sequence":
        assert replies_T is not None
        log_ratio = _mean_within(log_ratio, replies_T)
    ratio = torch.exp(log_ratio)
    clipped_ratio = torch.clamp(ratio, 1.0 - config.clip_low, 1.0 + config.clip_high)
    unclipped, clipped = ratio * advantages_T, clipped_ratio * advantages_T
    surrogate = torch.minimum(unclipped, clipped)
    if config.dual_clip:
        surrogate = torch.where(advantages_T < 0, torch.maximum(surrogate, config.dual_clip * advantages_T), surrogate)
    per_token = -surrogate
    reference_kl = 0.0
    if config.beta:
        assert reference_T is not None
        divergence = k3(logprobs_T, reference_T)
        per_token = per_token + config.beta * divergence
        reference_kl = float(divergence.detach().sum())
    if config.entropy_bonus:
        assert entropy_T is not None
        per_token = per_token - config.entropy_bonus * entropy_T
    with torch.no_grad():
        num_clipped = float((clipped < unclipped).sum())
        drift = float(k3(old_T, logprobs_T).sum())
        entropy = float(entropy_T.sum()) if entropy_T is not None else 0.0
        largest = float(ratio.max()) if ratio.numel() else 0.0
    loss = (weights_T * per_token).sum()
    return LossParts(loss, num_clipped, drift, reference_kl, entropy, largest, int(ratio.numel()))
