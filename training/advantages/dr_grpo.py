"""Dr. GRPO: an episode's return against its group's mean, without the division by the deviation.

Paper: Liu et al., "Understanding R1-Zero-Like Training", arXiv 2503.20783:

    A = R - mean(R)

R is the return of a whole episode, and every turn of an episode gets the same A. The mean runs over episodes, one
value each. A group of one episode gives zero. The paper's other change, dividing the token sum by a constant rather
than by the length of each reply, belongs to the loss (its aggregation mode) and is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.advantages.columns import read


@dataclass(frozen=True)
class Config:
    """Dr. GRPO has no options of its own."""


def advantages(turns: Mapping[str, Any], config: Config) -> NDArray[np.float64]:
    """Computes the Dr. GRPO advantage of every turn.

    Args:
        turns: columns group (N,), episode (N,), reward (N,), in play order within each episode; optional
            episode_return (N,), by default the undiscounted sum of the episode's rewards; optional penalty (N,),
            subtracted from that turn's episode return. The episode enters the mean with its first turn's value.
        config: the options, none.

    Returns:
        The advantages, (N,).

    Raises:
        InputError: if a column is missing, differs in length or holds a missing or infinite value.
    """
    return read(turns, anchors=False).episode_term("none", one_value_an_episode=True)
