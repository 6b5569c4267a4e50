"""DAPO: GRPO's advantage, with a return that falls where an episode says too much.

Paper: Yu et al., "DAPO", arXiv 2503.14476. With L the tokens that an episode sampled:

    A = (R + penalty(L) - mean) / std
    penalty(L) = 0                                      for L <= longest - margin
                 (longest - margin - L) / margin        up to longest
                 -1                                     beyond

(equation 13, in units of `length_weight`; 0 leaves it out, the default, as worlds bound their turns and replies by
themselves). The paper's other changes are not here: `configs/algorithm/dapo.yaml` sets the clip range (1 - 0.2 to
1 + 0.28), the mean over tokens, no KL term, and `train.rollouts`, which leaves groups without a signal out and plays
others in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.config_schema import key
from envs.errors import InputError
from training.advantages.columns import read


@dataclass(frozen=True)
class Config:
    """Options of DAPO's length penalty."""

    length_weight: float = key(0.0, "the return that an episode of `longest` tokens loses; 0 for none", minimum=0)
    longest: int = key(512, "sampled tokens of an episode from which on it loses all of it", unit="tokens", minimum=1)
    margin: int = key(128, "how much earlier it begins to lose", unit="tokens", minimum=1)

    def __post_init__(self) -> None:
        """Refuses a margin longer than the episode."""
        if self.margin > self.longest:
            raise InputError(f"margin={self.margin} must be at most longest={self.longest}.")


def advantages(turns: Mapping[str, Any], config: Config) -> NDArray[np.float64]:
    """Computes the DAPO advantage of every turn.

    Args:
        turns: columns group (N,), episode (N,), reward (N,), in play order within each episode; with a length penalty
            also tokens (N,), what was sampled in each turn; optional episode_return (N,), by default the undiscounted
            sum of the episode's rewards; optional penalty (N,), subtracted from that turn's episode return. The
            episode enters mean and deviation with its first turn's value.
        config: the options.

    Returns:
        The advantages, (N,). A group of one episode gives zero.

    Raises:
        InputError: if a column is missing, differs in length or holds a missing or infinite value.
    """
    columns = read(turns, anchors=False, tokens=config.length_weight != 0)
    if columns.tokens is not None:
        total = np.bincount(columns.episode, columns.tokens, len(columns.episode))[columns.episode]
        lost = np.clip((total - (config.longest - config.margin)) / config.margin, 0.0, 1.0)
        columns = replace(columns, episode_return=columns.episode_return - config.length_weight * lost)
    return columns.episode_term("std", one_value_an_episode=True)
