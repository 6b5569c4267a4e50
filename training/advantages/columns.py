"""Reads the flat columns that all estimators take, and normalises numbers within groups.

A column holds one value a turn, shape (N,). Turns of one episode stand in play order; turns of other episodes may stand
between them. An episode is named by (group, episode), so two groups may use the same episode labels. Columns that no
estimator knows are ignored.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Scale = Literal["std", "none"]

EPSILON = 1e-6
"""Added to every standard deviation, as in the published code of GiGPO."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The turns of one or more groups, checked.

    Attributes:
        group: number of the turn's group, (N,).
        episode: number of the turn's episode, (N,), counted over all groups.
        reward: what the environment paid, (N,).
        penalty: taken from this turn alone, (N,).
        episode_return: return of the turn's episode, (N,), before penalties.
        anchor: state key of each turn, or None if it was not asked for.
        tokens: what was sampled in each turn, (N,), or None if it was not asked for.
    """

    group: Codes
    episode: Codes
    reward: Floats
    penalty: Floats
    episode_return: Floats
    anchor: tuple[Hashable, ...] | None
    tokens: Floats | None = None

    @property
    def first_turns(self) -> NDArray[np.bool_]:
        """Marks the first turn of every episode, (N,)."""
        marks = np.zeros(len(self.episode), dtype=bool)
        marks[np.unique(self.episode, return_index=True)[1]] = True
        return marks

    def discounted_returns(self, gamma: float) -> Floats:
        """Computes R_t = sum over k >= t of gamma^(k-t) * r_k within each episode (GiGPO, equation 5).

        Args:
            gamma: the discount of one turn.

        Returns:
            The returns before penalties, (N,).
        """
        returns = np.zeros(len(self.reward))
        ahead = np.zeros(len(self.reward))
        for turn in range(len(self.reward) - 1, -1, -1):
            episode = self.episode[turn]
            ahead[episode] = self.reward[turn] + gamma * ahead[episode]
            returns[turn] = ahead[episode]
        return returns

    def episode_term(self, scale: Scale, one_value_an_episode: bool) -> Floats:
        """Compares each turn's penalised episode return with those of its group (GiGPO, equation 3; GRPO).

        Args:
            scale: "std" divides by the group's standard deviation, "none" does not.
            one_value_an_episode: if true, an episode enters mean and standard deviation once, with the value of its
                first turn; otherwise once for each of its turns.

        Returns:
            The episode advantages, (N,). A group of one episode gives zero.
        """
        first = self.first_turns
        counted = first if one_value_an_episode else np.ones(len(first), dtype=bool)
        term = normalise(self.episode_return - self.penalty, self.group, scale, counted)
        episodes = np.bincount(self.group[first], minlength=len(first))
        return np.where(episodes[self.group] > 1, term, 0.0)


def normalise(
    values: Floats, labels: Codes, scale: Scale, counted: NDArray[np.bool_] | None = None, *, ddof: int = 1
) -> Floats:
    """Centres values within each label, and divides by the standard deviation (n - ddof) plus 1e-6 if asked to.

    Args:
        values: (N,).
        labels: which values belong together, (N,), numbers from 0.
        scale: "std" or "none".
        counted: which values form mean and standard deviation, (N,); at least one a label. Default: all.
        ddof: 1 for the sample's standard deviation, 0 for the population's.

    Returns:
        The normalised values, (N,). Where fewer than two values count they are zero; equal values give exact zeros.
    """
    if not len(values):
        return np.zeros(0)
    counted = np.ones(len(values), dtype=bool) if counted is None else counted
    size = int(labels.max()) + 1
    # Measuring from each label's smallest value keeps equal values at exactly zero, whatever the rounding of a mean.
    lowest = np.full(size, np.inf)
    np.minimum.at(lowest, labels, values)
    shifted = values - lowest[labels]
    number = np.bincount(labels[counted], minlength=size)
    mean = np.bincount(labels[counted], shifted[counted], size) / np.maximum(number, 1)
    centred = np.where(number[labels] > 1, shifted - mean[labels], 0.0)
    if scale == "none":
        return centred
    squares = np.bincount(labels[counted], centred[counted] ** 2, size)
    deviation = np.sqrt(squares / np.maximum(number - ddof, 1))
    return centred / (deviation[labels] + EPSILON)


def read(turns: Mapping[str, Any], *, anchors: bool, tokens: bool = False) -> Columns:
    """Reads and checks the columns of `training.advantages`.

    Args:
        turns: group (N,), episode (N,), reward (N,), with `anchors` also anchor (N,); optional episode_return (N,), by
            default the undiscounted sum of the episode's rewards, and penalty (N,), by default zero.
        anchors: whether the estimator needs the anchor.
        tokens: whether it needs the column tokens (N,), what was sampled in each turn.

    Returns:
        The columns.

    Raises:
        InputError: if a column is missing, has another length or shape, or holds a missing or infinite value, or if
            `episode_return` differs within an episode.
    """
    needed = ["group", "episode", "reward", *(["anchor"] if anchors else []), *(["tokens"] if tokens else [])]
    missing = [name for name in needed if turns.get(name) is None]
    if missing:
        raise InputError(f"turns lack the column {missing[0]!r}; needed are {', '.join(needed)}.")
    groups = _labels("group", turns["group"])
    episodes = list(zip(groups, _labels("episode", turns["episode"]), strict=False))
    reward = _numbers("reward", turns["reward"])
    anchor = _labels("anchor", turns["anchor"]) if anchors else None
    given = [name for name in ("penalty", "episode_return") if turns.get(name) is not None]
    optional = {name: _numbers(name, turns[name]) for name in given}
    lengths = {name: len(turns[name]) for name in (*needed, *optional)}
    if len(set(lengths.values())) > 1:
        raise InputError(f"columns of turns differ in length: {', '.join(f'{k} {v}' for k, v in lengths.items())}.")
    episode = _codes(episodes)
    total: Floats = np.bincount(episode, reward, len(reward))[episode].astype(np.float64)
    columns = Columns(
        group=_codes(groups),
        episode=episode,
        reward=reward,
        penalty=optional.get("penalty", np.zeros(len(reward))),
        episode_return=optional.get("episode_return", total),
        anchor=anchor,
        tokens=_numbers("tokens", turns["tokens"]) if tokens else None,
    )
    if np.any(normalise(columns.episode_return, episode, "none")):
        raise InputError("column 'episode_return' differs within an episode; give every turn its episode's return.")
    return columns


def _numbers(name: str, column: Any) -> Floats:  # noqa: ANN401
    """Turns a column into float64 of shape (N,)."""
    try:
        values = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"column {name!r} must hold one number a turn: {error}.") from error
    if values.ndim != 1:
        raise InputError(f"column {name!r} must have shape (N,), not {values.shape}.")
    if not np.isfinite(values).all():
        turn = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"column {name!r} holds {values[turn]} at turn {turn}; every number must be finite.")
    return values


def _labels(name: str, column: Any) -> tuple[Hashable, ...]:  # noqa: ANN401
    """Turns a column into labels that can be compared."""
    if isinstance(column, list | tuple):
        labels = tuple(column)
    else:
        array = np.asarray(column)
        if array.ndim != 1:
            raise InputError(f"column {name!r} must have shape (N,), not {array.shape}.")
        labels = tuple(array.tolist())
    for turn, label in enumerate(labels):
        if not isinstance(label, Hashable):
            raise InputError(f"column {name!r} holds {label!r} at turn {turn}; labels are text or numbers.")
        if label is None or label != label:
            raise InputError(f"column {name!r} holds {label} at turn {turn}; every turn needs a label.")
    return labels


def _codes(labels: Iterable[Hashable]) -> Codes:
    """Numbers labels from 0 in the order in which they first appear."""
    seen: dict[Hashable, int] = {}
    return np.fromiter((seen.setdefault(label, len(seen)) for label in labels), dtype=np.intp)


def codes_within(columns: Columns, labels: Iterable[Hashable]) -> Codes:
    """Numbers the pairs (group, label), so that equal labels of different groups stay apart.

    Args:
        columns: the turns.
        labels: one a turn, (N,).

    Returns:
        Numbers from 0, (N,).
    """
    return _codes(zip(columns.group.tolist(), labels, strict=True))
