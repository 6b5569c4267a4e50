"""Which tasks training plays, and which of its split are kept back for choosing temperatures and layers."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from agents.draws import stream_seed
from agents.types import EpisodeKey
from envs.errors import InputError
from envs.types import TextEnv
from evals.panels import Panel, draw

TUNING, PROBE = "tuning", "probe"
PROBE_TASKS = 16
"""Tasks that a selector's shared episodes are played on."""
_SMALL_SPLIT_SHARES = {TUNING: 5, PROBE: 20}
"""Of a split that training plays whole, one task of so many at most is kept back."""


def training_tasks(env: TextEnv, seed: int, count: int, set_aside: Collection[str] = ()) -> list[str]:
    """The first tasks that training plays, without those that are set aside; a small split repeats its others.

    Raises:
        InputError: all tasks of the split are set aside.
    """
    apart, wanted = frozenset(set_aside), count
    while True:
        drawn = env.sample_tasks(stream_seed(seed, "training"), wanted)
        names = [name for name in drawn if name not in apart]
        if len(names) >= count:
            return names[:count]
        if not names and len(drawn) > len(apart):
            raise InputError(f"no task is left to train on: all {len(apart)} of {env.describe_data()} are set aside.")
        wanted *= 2


def iteration_keys(
    env: TextEnv, seed: int, iteration: int, tasks: int, group_size: int, set_aside: Collection[str] = ()
) -> list[EpisodeKey]:
    """The episodes of one iteration: the next `tasks` tasks, `group_size` members each.

    A small split repeats tasks, within an iteration too: a task's members are numbered on, so that no episode is played
    twice with the same draws, and all of them are one group.
    """
    names = training_tasks(env, seed, (iteration + 1) * tasks, set_aside)[iteration * tasks :]
    members = defaultdict[str, Iterator[int]](itertools.count)
    return [EpisodeKey(seed, iteration, name, next(members[name])) for name in names for _ in range(group_size)]


def keep_back(
    env: TextEnv, seed: int, trained: Sequence[str], panel: Sequence[str], tuning_tasks: int
) -> tuple[Panel, Panel]:
    """Draws the tasks for choosing temperatures and those that selectors probe with.

    Args:
        env: an environment of the training split.
        seed: the run's seed.
        trained: what training would play; if these are all tasks there are, some of them are drawn, which training
            then has to set aside.
        panel: the evaluation tasks, which are never drawn.
        tuning_tasks: how many are wanted for choosing temperatures.

    Raises:
        InputError: the split is too small to keep any back.
    """
    wanted = {TUNING: tuning_tasks, PROBE: PROBE_TASKS}
    tuning, probe = _draw(env, seed, wanted, [*trained, *panel])
    if not tuning.tasks:
        most = {name: len(set(trained)) // share for name, share in _SMALL_SPLIT_SHARES.items()}
        tuning, probe = _draw(env, seed, {name: min(wanted[name], most[name]) for name in wanted}, panel)
    if not tuning.tasks:
        raise InputError(
            f"no task is left for choosing temperatures: training plays all there are ({env.describe_data()}). "
            "Lower iterations= or train.groups=, or give more data."
        )
    return tuning, probe


def _draw(env: TextEnv, seed: int, wanted: Mapping[str, int], excluding: Sequence[str]) -> list[Panel]:
    panels: list[Panel] = []
    for name, count in wanted.items():
        seen = [*excluding, *(task for panel in panels for task in panel.tasks)]
        panels.append(draw(env, name, stream_seed(seed, name), count, excluding=seen))
    return panels
