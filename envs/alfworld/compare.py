"""`python -m envs.alfworld.compare data=PATH`: are generated games like ALFWorld's real train games, and as hard?

Prints, for both, the means of what decides how hard a game is, the mix of task types, and how long the oracle and the
exploring expert take. The mix of the real games is counted over all of them, the rest over a sample.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

from envs.alfworld.dialects import PACKAGED
from envs.alfworld.experts import ExploringExpert
from envs.alfworld.games import TASK_TYPES, find_games
from envs.alfworld.generator import generate
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.problem import Problem
from envs.alfworld.reading import read_game
from envs.alfworld.rules import World
from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError

MAX_TURNS = 50
REQUIRED = ("receptacles", "objects", "pickupable objects", "objects asked for", "oracle's turns", *TASK_TYPES)
"""The rows whose means must agree within `TOLERANCE`."""
TOLERANCE = 0.1


@dataclass(frozen=True)
class CompareConfig:
    """Keys of the comparison."""

    data: str = key("", "folder of the real games; empty looks at $ALFWORLD_DATA and ~/.cache/alfworld")
    games: int = key(1000, "games to measure of each sort", unit="games", minimum=10)
    seed: int = key(0, "draws the sample of real games", minimum=0)


class Row(NamedTuple):
    """One measured quantity.

    Attributes:
        name: what was measured.
        real: its mean over real train games.
        train: its mean over generated games in train rooms.
        unseen: its mean over generated games in unseen rooms.
    """

    name: str
    real: float
    train: float
    unseen: float

    @property
    def deviation(self) -> float:
        """How far generated train games are from real ones, as a share of the real mean."""
        return self.train / self.real - 1


def compare(config: CompareConfig) -> list[Row]:
    """Measures real and generated games.

    Args:
        config: where the real games are and how many to measure.

    Returns:
        One row a quantity.

    Raises:
        InputError: there are no real train games.
    """
    index = find_games(config.data, "train")
    if index is None:
        raise InputError("there are no real games here to compare with. Give data=PATH or set ALFWORLD_DATA.")
    sample = random.Random(config.seed).sample(index.names, min(config.games, len(index.names)))
    real = measure(read_game(index.path(name)).problem for name in sample)
    real |= _mix([name.split("/")[-2].partition("-")[0] for name in index.names])
    train, unseen = (
        measure(generate(split, number) for number in range(config.games)) for split in ("train", "unseen")
    )
    return [Row(name, real[name], train[name], unseen[name]) for name in real]


def measure(problems: Iterable[Problem]) -> dict[str, float]:
    """Returns the mean of every quantity over some games."""
    games = list(problems)
    measured: dict[str, float] = {name: mean(row[name] for row in map(_sizes, games)) for name in _sizes(games[0])}
    layouts = [Layout(problem, PACKAGED) for problem in games]
    measured["oracle's turns"] = mean(len(plan(layout) or ()) for layout in layouts)
    turns = [expert_turns(layout, seed) for seed, layout in enumerate(layouts)]
    measured["expert's turns"] = mean(turn for turn in turns if turn is not None)
    measured["expert's success"] = mean(turn is not None for turn in turns)
    return measured | _mix([problem.goal.task_type for problem in games])


def expert_turns(layout: Layout, seed: int, max_turns: int = MAX_TURNS) -> int | None:
    """Lets the exploring expert play a game; returns the turns it needed, None if it did not win in time."""
    world, expert = World(layout), ExploringExpert(None, seed)
    text = world.reset()
    for turn in range(1, max_turns + 1):
        text = world.step(expert.act(text))
        if world.won:
            return turn
    return None


def _sizes(problem: Problem) -> Mapping[str, float]:
    opens = {receptacle.id for receptacle in problem.receptacles if receptacle.openable}
    pickupable = [thing for thing in problem.things if "pickupable" in thing.traits]
    return {
        "receptacles": len(problem.receptacles),
        "receptacles that open": len(opens),
        "places to stand at": len({receptacle.location for receptacle in problem.receptacles}),
        "objects": sum(thing.type != "" for thing in problem.things),
        "pickupable objects": len(pickupable),
        "objects behind doors": sum(not opens.isdisjoint(thing.receptacles) for thing in pickupable),
        "objects in no receptacle": sum(not thing.receptacles for thing in pickupable),
        "objects asked for": sum(thing.type == problem.goal.object_type for thing in problem.things),
    }


def _mix(task_types: Sequence[str]) -> dict[str, float]:
    counted = Counter(task_types)
    return {task_type: counted[task_type] / len(task_types) for task_type in TASK_TYPES}


def main(config: CompareConfig) -> int:
    """Prints the comparison. Returns 1 if a required mean is off by more than the tolerance."""
    from rich.console import Console
    from rich.table import Table

    rows = compare(config)
    table = Table(title="generated games in train and unseen rooms against real train games", title_justify="left")
    table.add_column("mean over games", no_wrap=True)
    for heading in ("real", "train", "off by", "unseen"):
        table.add_column(heading, justify="right")
    for row in rows:
        real, train, unseen = (
            f"{value:.1%}" if row.name in TASK_TYPES else f"{value:.2f}" for value in (row.real, row.train, row.unseen)
        )
        table.add_row(row.name, real, train, f"{row.deviation:+.1%}", unseen)
    Console().print(table)
    wrong = [row.name for row in rows if row.name in REQUIRED and abs(row.deviation) > TOLERANCE]
    print(f"required means off by more than {TOLERANCE:.0%}: {', '.join(wrong) or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m envs.alfworld.compare",
            CompareConfig,
            main,
            description="Compares generated household games with ALFWorld's real train games.",
        )
    )
