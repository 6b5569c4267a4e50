"""GiGPO: an episode advantage within the group, and a step advantage within each repeated state.

Paper: Feng et al., "Group-in-Group Policy Optimization for LLM Agent Training", arXiv 2505.10978. With R(e) the return
of episode e, R_t the discounted return from turn t, and s the anchor of that turn:

    A_E = (R(e) - mean of the group) / F          equation 3
    A_S = (R_t  - mean of the turns in s) / F     equations 5 to 7
    A   = A_E + step_weight * A_S                 equation 8

F is the sample standard deviation (n - 1) plus 1e-6, or 1. The defaults are those of the published code for ALFWorld
(langfengQ/verl-agent, gigpo/core_gigpo.py), in which the mean and deviation of A_E run over turns: a long episode
weighs more. `statistics="episode"` counts each episode once, with the value of its first turn.

Different from the published code: a group of one episode gives A_E = 0. There, a group of a single row keeps its raw
return as the advantage, and the turns of a lone episode are compared with each other where their penalties differ. An
anchor met once gives A_S = 0 in both. The KL term and the clipped surrogate belong to the loss and are not here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs.config_schema import key
from envs.errors import InputError, unknown
from training.advantages.columns import Columns, codes_within, normalise, read


@dataclass(frozen=True)
class Config:
    """Options of GiGPO."""

    gamma: float = key(0.95, "discount of the step returns", unit="a turn", minimum=0, maximum=1)
    step_weight: float = key(1.0, "weight of the step advantage; 0 leaves the episode's alone", minimum=0)
    scale: Literal["std", "none"] = key(
        "std", "divide both terms by their group's standard deviation", choices=("std", "none")
    )
    statistics: Literal["turn", "episode"] = key(
        "turn",
        "an episode's return counts once a turn (the published code) or once an episode",
        choices=("turn", "episode"),
    )
    similarity: float | None = key(
        None, "group anchors whose texts are at least this similar (published: 0.95); null for equal ones", maximum=1
    )

    def __post_init__(self) -> None:
        """Refuses values outside their range."""
        if not 0.0 <= self.gamma <= 1.0:
            raise InputError(f"gamma={self.gamma} is outside 0 to 1.")
        if not (math.isfinite(self.step_weight) and self.step_weight >= 0.0):
            raise InputError(f"step_weight={self.step_weight} must be 0 or more.")
        if self.scale not in ("std", "none"):
            raise unknown("scale", self.scale, ("std", "none"))
        if self.statistics not in ("turn", "episode"):
            raise unknown("statistics", self.statistics, ("turn", "episode"))
        if self.similarity is not None and not 0.0 < self.similarity <= 1.0:
            raise InputError(f"similarity={self.similarity} must be above 0 and at most 1, or null for exact anchors.")


def advantages(turns: Mapping[str, Any], config: Config) -> NDArray[np.float64]:
    """Computes the GiGPO advantage of every turn.

    Args:
        turns: columns group (N,), episode (N,), anchor (N,), reward (N,), in play order within each episode; optional
            episode_return (N,), by default the undiscounted sum of the episode's rewards; optional penalty (N,),
            subtracted from that turn's episode return and from its discounted return after both are formed, hence not
            propagated to earlier turns. With `statistics="episode"` the episode counts with its first turn's value.
        config: the options.

    Returns:
        The advantages, (N,). A group of one episode has no episode advantage, an anchor met once in its group has no
        step advantage, and groups never mix.

    Raises:
        InputError: if a column is missing, differs in length or holds a missing or infinite value.
    """
    columns = read(turns, anchors=True)
    episode_term = columns.episode_term(config.scale, one_value_an_episode=config.statistics == "episode")
    if config.step_weight == 0.0:
        return episode_term
    returns = columns.discounted_returns(config.gamma) - columns.penalty
    step_term = normalise(returns, _anchor_groups(columns, config.similarity), config.scale)
    return episode_term + config.step_weight * step_term


def _anchor_groups(columns: Columns, similarity: float | None) -> NDArray[np.intp]:
    """Numbers the anchor groups, (N,): equal anchors of one group, or similar ones."""
    anchors = columns.anchor or ()
    if similarity is None:
        return codes_within(columns, anchors)
    clusters: dict[int, list[str]] = {}
    known: dict[tuple[int, Hashable], str] = {}
    firsts: list[str] = []
    for group, anchor in zip(columns.group.tolist(), anchors, strict=True):
        if not isinstance(anchor, str):
            raise InputError(f"similarity needs anchors that are text, not {anchor!r}; use similarity=null.")
        if (group, anchor) not in known:
            known[group, anchor] = _first_similar(anchor, clusters.setdefault(group, []), similarity)
        firsts.append(known[group, anchor])
    return codes_within(columns, firsts)


def _first_similar(anchor: str, firsts: list[str], similarity: float) -> str:
    """Finds the first cluster whose first member is similar enough, or opens one; returns that first member."""
    matcher = SequenceMatcher(None, anchor, "")
    for first in firsts:
        matcher.set_seq2(first)
        # The quick ratios are upper bounds of the ratio, so they only save time.
        if all(ratio() >= similarity for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)):
            return first
    firsts.append(anchor)
    return anchor
