"""Playing a panel and counting what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.rollout import rollout
from agents.types import Episode, EpisodeKey, Policy, StopReason, Turn
from envs.types import TextEnv
from evals.clusters import clustered
from evals.panels import Panel
from evals.statistics import Interval, wilson

EVALUATION = -1


@dataclass(frozen=True)
class Score:
    """What a set of episodes amounts to.

    Attributes:
        success: share of episodes won.
        interval: its 95 % interval: Wilson's, and clustered by task where tasks were played several times.
        episodes: their number.
        tasks: number of different tasks.
        mean_turns: turns an episode.
        mean_tokens: sampled tokens an episode, where all turns say how many theirs had; else None.
        invalid_actions: share of turns whose action was invalid.
        context_stops: episodes that outgrew the model's context.
        errors: episodes that the environment broke.
    """

    success: float
    interval: Interval
    episodes: int
    tasks: int
    mean_turns: float
    mean_tokens: float | None
    invalid_actions: float
    context_stops: int
    errors: int


def score(episodes: Sequence[Episode]) -> Score:
    """Counts episodes; a broken one (StopReason.ERROR) counts as not won."""
    won_by_task, plays = task_wins(episodes)
    wins, count = sum(won_by_task), len(episodes)
    turns = sum(len(episode.turns) for episode in episodes)
    invalid = sum(not turn.valid for episode in episodes for turn in episode.turns)
    stops = Counter(episode.stop for episode in episodes)
    return Score(
        success=wins / max(count, 1),
        interval=wilson(wins, count) if count == len(plays) else clustered(won_by_task, plays),
        episodes=count,
        tasks=len(plays),
        mean_turns=turns / max(count, 1),
        mean_tokens=_mean_tokens(episodes),
        invalid_actions=invalid / max(turns, 1),
        context_stops=stops[StopReason.CONTEXT],
        errors=stops[StopReason.ERROR],
    )


def task_wins(episodes: Iterable[Episode]) -> tuple[list[int], list[int]]:
    """Counts each task's plays that were won, and all of its plays, in the order in which tasks first appear."""
    won: Counter[str] = Counter()
    plays: Counter[str] = Counter()
    for episode in episodes:
        won[episode.key.task] += episode.won
        plays[episode.key.task] += 1
    return [won[task] for task in plays], list(plays.values())


def mean_seconds(episodes: Sequence[Episode]) -> float:
    """Wall seconds an episode, from its reset to its end; episodes that run together wait for each other."""
    return sum(episode.seconds for episode in episodes) / max(len(episodes), 1)


def _mean_tokens(episodes: Sequence[Episode]) -> float | None:
    counts = [turn.num_tokens for episode in episodes for turn in episode.turns]
    known = [count for count in counts if count is not None]
    return sum(known) / len(episodes) if known and len(known) == len(counts) else None


def score_by_type(episodes: Iterable[Episode]) -> dict[str, Score]:
    """Scores each kind of task, by name."""
    kinds: dict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        kinds[episode.task_type].append(episode)
    return {kind: score(kinds[kind]) for kind in sorted(kinds)}


def wins(episodes: Sequence[Episode]) -> NDArray[np.bool_]:
    """Whether each episode was won, in order."""
    return np.array([episode.won for episode in episodes], dtype=bool)


def panel_keys(panel: Panel, seed: int) -> list[EpisodeKey]:
    """The episodes of a panel, one a task, in its order."""
    return [EpisodeKey(seed, EVALUATION, task, 0) for task in panel.tasks]


def play(
    make_env: Callable[[], TextEnv],
    policy: Policy,
    panel: Panel,
    seed: int,
    *,
    policy_version: int = 0,
    batch: int = 128,
    ended: Callable[[Episode], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Episode]:
    """Plays each task of a panel once, in its order. Draws are keyed by the seed: two policies meet the same luck."""
    keys = panel_keys(panel, seed)
    return rollout(make_env, policy, keys, batch=batch, ended=ended, policy_version=policy_version, stop=stop)


def episode_row(episode: Episode, **labels: Any) -> dict[str, Any]:  # noqa: ANN401
    """One line of `episodes.jsonl`: the episode turn by turn, with the caller's labels (arm, temperature) in front.

    Everything in which the rows of equal episodes may differ stands under `cost`.
    """
    turns = [
        {
            "saw": turn.observation,
            "said": turn.reply,
            "action": turn.action,
            "valid": turn.valid,
            "reward": turn.reward,
            "tokens": turn.num_tokens,
        }
        for turn in episode.turns
    ]
    return labels | {
        "task": episode.key.task,
        "task_type": episode.task_type,
        "goal": episode.goal,
        "seed": episode.key.seed,
        "iteration": episode.key.iteration,
        "member": episode.key.member,
        "won": episode.won,
        "stop": str(episode.stop),
        "error": episode.error,
        "policy_version": episode.policy_version,
        "turns": turns,
        "final": episode.final_observation,
        "cost": {"seconds": round(episode.seconds, 3)},
    }


def episode_of(row: Mapping[str, Any]) -> Episode:
    """Reads a line of `episodes.jsonl` back: all of the episode that `episode_row` wrote down.

    Rows of earlier versions, which knew neither tokens nor cost, are read too.
    """
    turns = [
        Turn(
            turn["saw"],
            turn["said"],
            turn["action"],
            turn["valid"],
            turn["reward"],
            anchor="",
            sampled=turn.get("tokens"),
        )
        for turn in row["turns"]
    ]
    return Episode(
        key=EpisodeKey(row["seed"], row["iteration"], row["task"], row["member"]),
        turns=turns,
        stop=StopReason(row["stop"]),
        won=row["won"],
        task_type=row["task_type"],
        goal=row["goal"],
        policy_version=row["policy_version"],
        error=row["error"],
        final_observation=row["final"],
        seconds=row.get("cost", {}).get("seconds", 0.0),
    )
