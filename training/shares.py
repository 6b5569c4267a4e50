"""What each process of several does of an iteration: its episodes, and its rows of every update.

Episodes are dealt out one by one, so that a group may be played by several processes; all get all episodes back, in the
order of their keys. Advantages, rows and the weights of tokens then follow as in one process, from everything there is.
An update's rows are dealt out by their tokens, the longest first, each to the process with the fewest so far. As all
know all rows, each knows how many passes the others make, and the one with fewer makes passes of weight 0 as well:
passes may hold collectives, in which all have to take part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from agents.rows import Row
from agents.types import Episode, EpisodeKey, StopReason, Turn
from training.batches import MicroBatch, TrainingRow, grouped, micro_batches
from training.processes import Processes

_TURN = [field.name for field in fields(Turn)]
_EPISODE = [field.name for field in fields(Episode) if field.name not in ("key", "turns", "stop")]
Play = Callable[[Sequence[EpisodeKey]], list[Episode]]


def played(
    processes: Processes, keys: Sequence[EpisodeKey], play: Play, ended: Callable[[Episode], None] | None = None
) -> list[Episode]:
    """Plays one episode for each key, each process its share.

    Args:
        processes: who plays; all of them call this with the same keys.
        keys: the episodes.
        play: plays some of them.
        ended: called with each episode that another process has played, after all have ended.

    Returns:
        The episodes in the order of their keys, in every process; those that no process ended are left out.

    Raises:
        StoppedError: `play` or `ended` raised it in one of the processes.
        OtherProcessError: they failed in another one.
    """
    if processes.count == 1:
        return play(keys)
    own = keys[processes.rank :: processes.count]
    parts = processes.share_of(lambda: [_packed(episode) for episode in (play(own) if own else [])])
    found = {episode.key: episode for part in parts for episode in map(_unpacked, part)}
    episodes = [found[key] for key in keys if key in found]
    others = [episode for episode in episodes if episode.key not in set(own)]
    processes.share_of(lambda: [ended(episode) for episode in others if ended is not None])
    return episodes


def deal(rows: Sequence[TrainingRow], count: int) -> None:
    """Gives an update's rows to so many processes, with about as many tokens each; some get none of few rows."""
    tokens = [0] * count
    for row in sorted(rows, key=lambda row: -len(row.row.tokens)):
        row.owner = tokens.index(min(tokens))
        tokens[row.owner] += len(row.row.tokens)


def passes(
    processes: Processes, rows: Sequence[TrainingRow], max_tokens: int, device: torch.device
) -> list[MicroBatch | None]:
    """This process's micro-batches of an update; None where it only takes part in a pass of the others.

    Args:
        processes: who makes the update.
        rows: all its rows, which were dealt.
        max_tokens: padded tokens a micro-batch may hold.
        device: where they go.
    """
    shares = [[row for row in rows if row.owner == rank] for rank in range(processes.count)]
    most = max(len(grouped(share, max_tokens)) for share in shares)
    own: list[MicroBatch | None] = list(micro_batches(shares[processes.rank], max_tokens, device))
    # At the front: gradients are exchanged in the last pass, where most have a real one.
    return [*[None] * (most - len(own)), *own]


def idle_batch(device: torch.device) -> MicroBatch:
    """The shortest row there is, for a pass that changes nothing."""
    sampled, none = np.array([False, True]), np.zeros(1, dtype=np.float32)
    row = Row(np.zeros(2, dtype=np.int64), sampled, np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.float32))
    (batch,) = micro_batches([TrainingRow(row, none, none)], 2, device)
    return batch


def tell_kept(processes: Processes, rows: Sequence[TrainingRow], own: Sequence[TrainingRow]) -> None:
    """Lets all know how many tokens of each row the loss sees, which weigh the others; called by all.

    Args:
        processes: who makes the updates.
        rows: all rows, alike in every process.
        own: those whose tokens this one has marked (`training.mismatch`).
    """
    if processes.count == 1:
        return
    mine = {id(row) for row in own}
    told = [[index, row.num_kept] for index, row in enumerate(rows) if id(row) in mine and row.kept is not None]
    for index, count in (pair for part in processes.gather(told) for pair in part):
        row = rows[index]
        if id(row) not in mine:
            # Which ones does not matter where another process learns from them.
            row.kept = np.arange(row.num_sampled) < count


def mismatch_together(processes: Processes, own: Sequence[TrainingRow], found: dict[str, float]) -> dict[str, float]:
    """The figures of `training.mismatch.correct` over the rows of all processes; called by all with their own."""
    if processes.count == 1:
        return found
    parts = processes.gather({**found, "tokens": sum(row.num_sampled for row in own)})
    tokens = max(sum(part["tokens"] for part in parts), 1)
    means = ("mismatch_kl", "mismatch_share")
    mixed = {name: sum(part[name] * part["tokens"] for part in parts) / tokens for name in means}
    return mixed | {"mismatch_max": max(part["mismatch_max"] for part in parts)}


def costs_together(processes: Processes, cost: dict[str, float]) -> dict[str, float]:
    """What an iteration cost all processes: process 0's times, the most memory of one, and the sums of all counts."""
    if processes.count == 1:
        return cost
    parts = processes.gather(cost)
    sums = {
        name: sum(part[name] for part in parts) for name in cost if name in ("workers_restarted", "episodes_replayed")
    }
    return parts[0] | sums | {"peak_bytes": max(part["peak_bytes"] for part in parts)}


def _packed(episode: Episode) -> dict[str, Any]:
    """An episode as JSON."""
    return {
        "key": list(episode.key),
        "turns": [[getattr(turn, name) for name in _TURN] for turn in episode.turns],
        "stop": str(episode.stop),
        "others": {name: getattr(episode, name) for name in _EPISODE},
    }


def _unpacked(content: dict[str, Any]) -> Episode:
    turns = [Turn(*map(_tupled, values)) for values in content["turns"]]
    return Episode(EpisodeKey(*content["key"]), turns, StopReason(content["stop"]), **content["others"])


def _tupled(value: Any) -> Any:  # noqa: ANN401
    """JSON knows no tuples."""
    return tuple(value) if isinstance(value, list) else value
