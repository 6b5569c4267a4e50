"""HGPO: step advantages within states that share their history too, the longer the shared history the weightier.

Paper: "Hierarchy-of-Groups Policy Optimization", arXiv 2602.22817. For k = 1 to history + 1 the turns of a task whose
last k anchors, the present one included, are equal form a group, if they are two or more. With R_t the discounted
return from turn t:

    a_k = (R_t - mean) / F              F is the population standard deviation (n) plus 1e-6, or 1
    A   = sum_k w_k a_k                 w_k in proportion to (k + 1)^alpha, over the k whose a_k is not 0

as in the published code (zzj1111/alfworldauto, recipe/hgpo/core_hgpo.py). A turn with fewer than k turns behind it has
no a_k. `episode_term` adds GiGPO's episode advantage as one more item, k = 0; it is off by default, as published.
Different from the published code: a group of one episode has no episode advantage.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs.config_schema import check_values, key
from training.advantages.columns import Columns, codes_within, normalise, read

_EPSILON = 1e-6
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Config:
    """Options of HGPO."""

    gamma: float = key(0.95, "discount of the step returns", unit="a turn", minimum=0, maximum=1)
    history: int = key(2, "earlier turns that groups may share", unit="turns", minimum=0)
    alpha: float = key(1.0, "how much longer shared histories count for", minimum=0)
    scale: Literal["std", "none"] = key("std", "divide by each group's standard deviation", choices=("std", "none"))
    episode_term: bool = key(False, "count the episode's advantage as one more group")

    def __post_init__(self) -> None:
        """Refuses values outside their range."""
        check_values(self)


def advantages(turns: Mapping[str, Any], config: Config) -> NDArray[np.float64]:
    """Computes the HGPO advantage of every turn.

    Args:
        turns: columns group (N,), episode (N,), anchor (N,), reward (N,), in play order within each episode; optional
            episode_return (N,), by default the undiscounted sum of the episode's rewards; optional penalty (N,),
            subtracted from that turn's own returns.
        config: the options.

    Returns:
        The advantages, (N,). A turn whose state nobody else met has none, unless `episode_term` gives it one.

    Raises:
        InputError: if a column is missing, differs in length or holds a missing or infinite value.
    """
    columns = read(turns, anchors=True)
    returns = columns.discounted_returns(config.gamma) - columns.penalty
    items = [columns.episode_term(config.scale, one_value_an_episode=False)] if config.episode_term else []
    lengths = [0] if config.episode_term else []
    for length in range(1, config.history + 2):
        labels = codes_within(columns, _histories(columns, length))
        items.append(normalise(returns, labels, config.scale, ddof=0))
        lengths.append(length)
    values_KN = np.stack(items)
    # What the order of a sum leaves of 0 must not count as an advantage.
    values_KN[np.abs(values_KN) < _ROUNDING] = 0.0
    weights_KN = (np.array(lengths, dtype=np.float64)[:, None] + 1) ** config.alpha * (values_KN != 0)
    return np.asarray((weights_KN * values_KN).sum(0) / (weights_KN.sum(0) + _EPSILON), dtype=np.float64)


def _histories(columns: Columns, length: int) -> list[Hashable]:
    """The last `length` anchors of every turn; of a turn with fewer, a label of its own."""
    said: dict[int, list[Hashable]] = {}
    histories: list[Hashable] = []
    for turn, (episode, anchor) in enumerate(zip(columns.episode.tolist(), columns.anchor or (), strict=True)):
        behind = said.setdefault(episode, [])
        behind.append(anchor)
        histories.append(tuple(behind[-length:]) if len(behind) >= length else ("too early", turn))
    return histories
