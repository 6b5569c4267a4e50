"""What the sampler and the trainer disagree on, put right in the advantages and reported.

The same weights give other log-probabilities in a cached or foreign sampler than in the trainer's own pass, so tokens
were drawn from a slightly other policy. With w = pi_trainer / pi_sampler of a token, or of a reply (the product over
its tokens), and a cap C:

    token_truncate      every token's advantage times min(w, C)     (Yao et al., 2025; the default of TRL)
    token_mask          tokens with w outside [1/C, C] are left out
    sequence_truncate   every token's advantage times min(w, C), w of its reply
    sequence_mask       replies with w outside [1/C, C] are left out

What is left out counts in no average of the loss either. Left out here: bounds that differ on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from envs.errors import unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.batches import TrainingRow

CORRECTIONS = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask", "none")
# exp of more overflows float32; the cap is far below.
_LARGEST = 50.0


def weights(
    old_T: NDArray[np.float32],
    sampler_T: NDArray[np.float32],
    replies_T: NDArray[np.int64],
    correction: str,
    cap: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The weight of every sampled token of a row.

    Args:
        old_T: log-probabilities in the trainer's pass, (T,).
        sampler_T: the sampler's own, (T,).
        replies_T: which reply each token belongs to, (T,).
        correction: one of `CORRECTIONS`.
        cap: the largest weight; 0 corrects nothing.

    Returns:
        What to multiply its advantage by, (T,), and whether it was truncated or left out, (T,).

    Raises:
        InputError: unknown correction.
    """
    if correction not in CORRECTIONS:
        raise unknown("mismatch", correction, CORRECTIONS)
    difference: NDArray[np.float64] = (old_T - sampler_T).astype(np.float64)
    if correction.startswith("sequence"):
        _, reply = np.unique(replies_T, return_inverse=True)
        difference = np.bincount(reply, weights=difference, minlength=1).astype(np.float64)[reply]
    ratio = np.exp(np.clip(difference, -_LARGEST, _LARGEST))
    if correction == "none" or not cap:
        return np.ones(len(ratio), dtype=np.float32), np.zeros(len(ratio), dtype=bool)
    if correction.endswith("truncate"):
        return np.minimum(ratio, cap).astype(np.float32), ratio > cap
    outside = (ratio > cap) | (ratio < 1.0 / cap)
    return np.where(outside, 0.0, 1.0).astype(np.float32), outside


def correct(
    rows: Sequence[TrainingRow], sampled: Sequence[NDArray[np.float32]], correction: str, cap: float
) -> dict[str, float]:
    """Corrects the advantages of rows, whose `old` is the trainer's by now, and marks what is left out.

    Args:
        rows: changed in place.
        sampled: the sampler's own log-probabilities of each row's sampled tokens.
        correction: one of `CORRECTIONS`.
        cap: the largest weight; 0 corrects nothing.

    Returns:
        `mismatch_kl`: mean k3 estimate of KL(sampler || trainer) a token; `mismatch_max`: largest absolute difference
        of two log-probabilities; `mismatch_share`: share of the tokens that were truncated or left out.

    Raises:
        InputError: unknown correction.
    """
    differences, touched = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for row, logprobs in zip(rows, sampled, strict=True):
        factors, marked = weights(row.old, logprobs, row.row.turn[row.row.sampled], correction, cap)
        row.advantages = row.advantages * factors
        row.kept = ~marked if correction.endswith("mask") else None
        differences.append((row.old - logprobs).astype(np.float64))
        touched.append(marked)
    difference, marks = np.concatenate(differences), np.concatenate(touched)
    if not len(difference):
        return {"mismatch_kl": 0.0, "mismatch_max": 0.0, "mismatch_share": 0.0}
    bounded = np.clip(difference, -_LARGEST, _LARGEST)
    return {
        "mismatch_kl": float((np.expm1(bounded) - bounded).mean()),
        "mismatch_max": float(np.abs(difference).max()),
        "mismatch_share": float(marks.mean()),
    }
