"""GRPO: an episode's return against its group's mean, in units of the group's standard deviation.

Paper: Shao et al., "DeepSeekMath", arXiv 2402.03300:

    A = (R - mean(R)) / (std(R) + 1e-6)

R is the return of a whole episode, std the sample standard deviation (n - 1), and every turn of an episode gets the
same A. Mean and deviation run over episodes, one value each: that is the definition, so there is no choice of
statistics here. It equals GiGPO with step_weight 0 and statistics "episode". A group of one episode gives zero. The
division by the deviation favours very easy and very hard tasks; `dr_grpo` leaves it out.
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
    """GRPO has no options of its own."""


def advantages(turns: Mapping[str, Any], config: Config) -> NDArray[np.float64]:
    """Computes the GRPO advantage of every turn.

    Args:
        turns: columns group (N,), episode (N,), reward (N,), in play order within each episode; optional
            episode_return (N,), by default the undiscounted sum of the episode's rewards; optional penalty (N,),
            subtracted from that turn's episode return. The episode enters mean and deviation with its first turn's
            value.
        config: the options, none.

    Returns:
        The advantages, (N,).

    Raises:
        InputError: if a column is missing, differs in length or holds a missing or infinite value.
    """
    return read(turns, anchors=False).episode_term("std", one_value_an_episode=True)
