"""RLOO: an episode's return against the mean of the other episodes of its group.

Paper: Ahmadian et al., "Back to Basics", arXiv 2402.14740:

    A_i = R_i - mean of R_j over j != i = G / (G - 1) * (R_i - mean(R))

R is the return of a whole episode, and every turn of an episode gets the same A. A group of one episode gives zero. In
the paper a KL term is taken off the reward; here it belongs to the loss (`train.beta`), for every estimator alike.
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
    """RLOO has no options of its own."""


def advantages(turns: Mapping[str, Any], config: Config) -> NDArray[np.float64]:
    """Computes the RLOO advantage of every turn.

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
    columns = read(turns, anchors=False)
    episodes = np.bincount(columns.group[columns.first_turns], minlength=len(columns.group))[columns.group]
    return columns.episode_term("none", one_value_an_episode=True) * episodes / np.maximum(episodes - 1, 1)
