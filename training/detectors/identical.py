"""All episodes of a task the same word for word: a temperature of nearly 0, or draws that are not drawn."""

from __future__ import annotations

from agents.rollout import group
from agents.types import Episode
from training.detectors import Iteration, WatchConfig

AT = "iteration"
DAMAGES = True


def wrong(seen: Iteration, config: WatchConfig) -> str:
    """Counts the groups whose episodes said the same and did not all win, as they may once a task is learned."""
    groups = [one.episodes for one in group([episode for episode in seen.episodes if episode.turns])]
    same = sum(_identical(episodes) for episodes in groups)
    if config.identical and same and same >= config.identical * len(groups):
        return f"all episodes of a task said the same, in {same} of {len(groups)} groups"
    return ""


def _identical(episodes: list[Episode]) -> bool:
    said = {tuple(turn.reply for turn in episode.turns) for episode in episodes}
    return len(episodes) > 1 and len(said) == 1 and not all(episode.won for episode in episodes)
