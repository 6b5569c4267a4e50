"""The sample of training episodes that a run keeps: whole groups, each turn with its anchor and its advantage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents.types import Episode, EpisodeKey
from evals.scoring import episode_row
from training.collect import Collected


def sample_rows(collected: Collected, groups: int, **labels: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """Rows for `episodes.jsonl`: all episodes of the first so many groups of an iteration.

    Args:
        collected: what the iteration's rollout gave.
        groups: how many groups to keep.
        labels: stand in front of each row.

    Yields:
        One row an episode as `evals.scoring.episode_row` writes it. Each turn also has its "anchor", and its
        "advantage" unless the episode has none, as one that broke.
    """
    names = dict.fromkeys(_group(episode.key) for episode in collected.episodes)
    wanted = set(list(names)[:groups])
    for episode in collected.episodes:
        if _group(episode.key) in wanted:
            yield _row(episode, collected, labels)


def _group(key: EpisodeKey) -> tuple[int, str]:
    return key.iteration, key.task


def _row(episode: Episode, collected: Collected, labels: dict[str, Any]) -> dict[str, Any]:
    row = episode_row(episode, **labels)
    advantages = collected.advantages.get(episode.key)
    for index, (written, turn) in enumerate(zip(row["turns"], episode.turns, strict=True)):
        written["anchor"] = turn.anchor
        if advantages is not None:
            written["advantage"] = round(float(advantages[index]), 6)
    return row
