"""GSPO: GRPO's advantage; what is new is the ratio of the loss, one a sequence instead of one a token.

Paper: Zheng et al., "Group Sequence Policy Optimization", arXiv 2507.18071:

    A   = (R - mean(R)) / std(R)
    s_i = (pi(y_i | x) / pi_old(y_i | x)) ^ (1 / |y_i|)     in place of every token's own ratio

R is the return of a whole episode, and every turn of an episode gets the same A. The ratio belongs to the loss:
`configs/algorithm/gspo.yaml` sets `train.ratio=sequence`, the paper's narrow clip range (1 - 3e-4 to 1 + 4e-4) and its
mean over sequences. In an episode of several turns the sequence of a ratio is one reply, as in verl-agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.advantages import grpo


@dataclass(frozen=True)
class Config:
    """GSPO's advantage has no options of its own."""


def advantages(turns: Mapping[str, Any], config: Config) -> NDArray[np.float64]:
    """Computes the GSPO advantage of every turn, which is GRPO's.

    Args:
        turns: the columns that `training.advantages.grpo` takes.
        config: the options, none.

    Returns:
        The advantages, (N,). A group of one episode gives zero.

    Raises:
        InputError: if a column is missing, differs in length or holds a missing or infinite value.
    """
    return grpo.advantages(turns, grpo.Config())
