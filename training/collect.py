"""One rollout turned into training rows: tasks, episodes, advantages.

Which tasks an iteration plays and every draw inside its episodes follow from (seed, iteration) alone, so that arms
compared with each other see the same tasks and a resumed run continues as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from agents.rollout import rollout
from agents.rows import rows as assemble
from agents.types import Episode, EpisodeKey, Policy, StopReason
from envs.types import TextEnv
from training import advantages
from training.batches import TrainingRow
from training.processes import current
from training.shares import played


@dataclass(frozen=True)
class Estimator:
    """An advantage estimator with its options.

    Attributes:
        module: a module of `training.advantages`.
        config: its `Config`.
        success_reward: what the environment's reward of 1 is worth.
        invalid_penalty: subtracted for a turn whose action was invalid (see the estimators on how).
    """

    module: advantages.Estimator
    config: Any
    success_reward: float
    invalid_penalty: float

    def advantages(self, episodes: Sequence[Episode]) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
        """One advantage a turn, as one array an episode. Episodes of one (iteration, task) form a group."""
        turns = self.columns(episodes)
        flat = self.module.advantages(turns, self.config)
        ends = np.cumsum([len(episode.turns) for episode in episodes])
        return list(np.split(flat, ends[:-1]))

    def columns(self, episodes: Sequence[Episode]) -> Mapping[str, np.ndarray[Any, Any]]:
        """The flat columns the estimators read, one entry a turn in play order."""
        turns = [(index, episode, turn) for index, episode in enumerate(episodes) for turn in episode.turns]
        return {
            "group": np.array([_group(episode.key) for _, episode, _ in turns], dtype=object),
            "episode": np.array([index for index, _, _ in turns], dtype=np.int64),
            "anchor": np.array([turn.anchor for _, _, turn in turns], dtype=object),
            "reward": np.array([self.success_reward * turn.reward for _, _, turn in turns], dtype=np.float64),
            "tokens": np.array([len(turn.tokens) for _, _, turn in turns], dtype=np.float64),
            "penalty": np.array(
                [0.0 if turn.valid else self.invalid_penalty for _, _, turn in turns], dtype=np.float64
            ),
        }


@dataclass
class Collected:
    """What one rollout gave.

    Attributes:
        episodes: all episodes, failed ones included.
        rows: one row for each episode that sampled anything, or one for each of its turns (`agents.rows`).
        metrics: success, reward and the like over the episodes.
        advantages: one number a turn, (N,), of each episode that has any: not of those that broke or said nothing.
    """

    episodes: list[Episode]
    rows: list[TrainingRow]
    metrics: dict[str, float]
    advantages: Mapping[EpisodeKey, np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=dict)

    def task_success(self) -> list[float]:
        """The share of each group's episodes that was won, in the groups' order."""
        groups: dict[str, list[bool]] = {}
        for episode in self.episodes:
            groups.setdefault(_group(episode.key), []).append(episode.won)
        return [sum(won) / len(won) for won in groups.values()]


def collect(
    make_env: Callable[[], TextEnv],
    policy: Policy,
    keys: Sequence[EpisodeKey],
    estimator: Estimator,
    *,
    progress: Callable[[int], None] | None = None,
) -> Collected:
    """Plays the episodes, estimates advantages and assembles rows. `progress` is told 1 as each episode ends.

    Several processes share the playing, and each has all of it.
    """

    def ended(episode: Episode) -> None:
        if progress is not None:
            progress(1)

    play = partial(rollout, make_env, policy, ended=ended)
    episodes = played(current(), keys, play, ended)
    return from_episodes(episodes, estimator)


def from_episodes(episodes: list[Episode], estimator: Estimator) -> Collected:
    """Advantages and rows of played episodes. Episodes the environment broke are counted and left out."""
    usable = [episode for episode in episodes if episode.stop is not StopReason.ERROR and episode.num_sampled_tokens]
    advantages = estimator.advantages(usable) if usable else []
    rows = []
    for episode, per_turn in zip(usable, advantages, strict=True):
        rows += [
            TrainingRow(
                row=row,
                advantages=per_turn[row.turn[row.sampled]].astype(np.float32),
                old=row.logprobs[row.sampled].astype(np.float32),
                group=_group(episode.key),
                member=episode.key.member,
            )
            for row in assemble(episode)
            if row.sampled.any()
        ]
    by_key = {episode.key: per_turn for episode, per_turn in zip(usable, advantages, strict=True)}
    return Collected(episodes, rows, _metrics(episodes, advantages, usable) | row_tokens(rows), by_key)


def with_signal(rows: Sequence[TrainingRow], groups: int) -> list[TrainingRow]:
    """The rows of the first so many groups in which some advantage is not 0, in order."""
    signal = dict.fromkeys(row.group for row in rows if np.any(row.advantages != 0.0))
    kept = set(list(signal)[:groups])
    return [row for row in rows if row.group in kept]


def row_tokens(rows: Sequence[TrainingRow]) -> dict[str, float]:
    """The figure of all tokens that are learned from, those that were read included."""
    return {"row_tokens": sum(len(row.row.tokens) for row in rows)}


def _group(key: EpisodeKey) -> str:
    """What the group of an episode is called: a task that comes again in another iteration has another group."""
    return f"{key.iteration}/{key.task}"


def _metrics(
    episodes: Sequence[Episode], advantages: Sequence[np.ndarray[Any, Any]], usable: Sequence[Episode]
) -> dict[str, float]:
    signal: dict[tuple[int, str], bool] = {}
    for episode, per_turn in zip(usable, advantages, strict=True):
        group = (episode.key.iteration, episode.key.task)
        signal[group] = signal.get(group, False) or bool(np.any(per_turn != 0.0))
    num_turns = max(sum(len(episode.turns) for episode in episodes), 1)
    count = max(len(episodes), 1)
    return {
        "episodes": len(episodes),
        "success": sum(episode.won for episode in episodes) / count,
        "reward": sum(episode.total_reward for episode in episodes) / count,
        "zero_groups": 1.0 - sum(signal.values()) / len(signal) if signal else 1.0,
        "invalid_actions": sum(not turn.valid for episode in episodes for turn in episode.turns) / num_turns,
        "mean_turns": num_turns / count,
        "context_stops": sum(episode.stop is StopReason.CONTEXT for episode in episodes),
        "errors": sum(episode.stop is StopReason.ERROR for episode in episodes),
        "sampled_tokens": sum(episode.num_sampled_tokens for episode in episodes),
    }
