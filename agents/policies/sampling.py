"""Drawing tokens from logits with given numbers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def draw_tokens(
    logits: torch.Tensor, numbers: NDArray[np.float64], temperature: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Draws one token a row by inverting the cumulative distribution at a given number.

    Args:
        logits: (R, V).
        numbers: (R,) in [0, 1).
        temperature: divides the logits; 0 takes the most likely token.

    Returns:
        The tokens (R,), and their log-probabilities (R,) at that temperature (at temperature 0, those at temperature
        1).
    """
    scaled = logits.float()
    if temperature not in (0, 1):
        scaled = scaled / temperature
    logprobs = scaled.log_softmax(-1)
    if temperature == 0:
        tokens = logprobs.argmax(-1, keepdim=True)
    else:
        cumulative = logprobs.double().exp_().cumsum(-1)
        at = torch.from_numpy(numbers[:, None]).to(cumulative.device) * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, at, right=True)
    return tokens[:, 0].cpu().numpy(), logprobs.gather(1, tokens)[:, 0].cpu().numpy()
