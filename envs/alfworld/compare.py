"""`python -m envs.alfworld.compare data=PATH`: are generated games like ALFWorld's real train games, and as hard?

Prints, for both, what decides how hard a game is: objects and receptacles, by kind of room too, the mix of rooms and
task types, and how long walkthroughs, plans and the exploring expert take, as means with their 10th, 50th and 90th
percentiles. The mixes of the real games are counted over all of them, the rest over a sample. A real game's walkthrough
is its file's; a generated game's is the oracle's plan, which becomes the file's when it is written.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from envs.alfworld import facts
from envs.alfworld.dialects import PACKAGED
from envs.alfworld.experts import ExploringExpert
from envs.alfworld.facts_statistics import kind_of_room
from envs.alfworld.games import TASK_TYPES, find_games
from envs.alfworld.generator import generate, room_number
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.problem import Problem
from envs.alfworld.reading import read_game
from envs.alfworld.world import World
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


class Game(NamedTuple):
    """A game to measure: its problem, the number of its room, and its file's walkthrough; None where it has no file."""

    problem: Problem
    room: int
    walkthrough: tuple[str, ...] | None = None


class Spread(NamedTuple):
    """Mean and percentiles of a quantity over games; a share has no percentiles."""

    mean: float
    percentiles: tuple[float, float, float] | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarises values; those of no game are not a number."""
        if not values:
            return cls(float("nan"))
        low, middle, high = np.percentile(values, (10, 50, 90), method="inverted_cdf")
        return cls(float(np.mean(values)), (float(low), float(middle), float(high)))

    def __str__(self) -> str:
        """As the table shows it."""
        if self.percentiles is None:
            return f"{self.mean:.1%}"
        return f"{self.mean:.2f} ({'/'.join(f'{value:.0f}' for value in self.percentiles)})"


class Row(NamedTuple):
    """One measured quantity.

    Attributes:
        name: what was measured.
        real: over real train games.
        train: over generated games in train rooms.
        unseen: over generated games in unseen rooms.
    """

    name: str
    real: Spread
    train: Spread
    unseen: Spread

    @property
    def deviation(self) -> float:
        """How far generated train games are from real ones, as a share of the real mean; not a number where both are 0.

        What real games never have is infinitely far off where generated ones have it.
        """
        if self.real.mean == 0:
            return math.inf if self.train.mean > 0 else math.nan
        return self.train.mean / self.real.mean - 1


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
    rooms = {name: int(name.split("/")[-2].rpartition("-")[2]) for name in index.names}
    sample = random.Random(config.seed).sample(index.names, min(config.games, len(index.names)))
    files = ((name, read_game(index.path(name))) for name in sample)
    real = measure(Game(file.problem, rooms[name], file.walkthrough) for name, file in files)
    real |= _mix([name.split("/")[-2].partition("-")[0] for name in index.names], list(rooms.values()))
    train, unseen = (
        measure(_generated(split, number) for number in range(config.games)) for split in ("train", "unseen")
    )
    return [Row(name, real[name], train[name], unseen[name]) for name in real]


def measure(games: Iterable[Game]) -> dict[str, Spread]:
    """Summarises every quantity over some games."""
    games = list(games)
    values: dict[str, list[float]] = defaultdict(list)
    turns = []
    for seed, game in enumerate(games):
        sizes, layout = _sizes(game.problem), Layout(game.problem, PACKAGED)
        planned = plan(layout) or ()
        walkthrough = planned if game.walkthrough is None else game.walkthrough
        kind = kind_of_room(game.room)
        of_kind = {f"{name}, {kind}": sizes[name] for name in ("receptacles", "objects")}
        lengths = {"walkthrough": len(walkthrough), "oracle's turns": len(planned)}
        for name, value in {**sizes, **of_kind, **lengths}.items():
            values[name].append(value)
        turns.append(expert_turns(layout, seed))
    values["expert's turns"] = [turn for turn in turns if turn is not None]
    names = [
        *_sizes(games[0].problem),
        *(f"{name}, {kind}" for kind in _kinds() for name in ("receptacles", "objects")),
    ]
    measured = {name: Spread.of(values[name]) for name in (*names, "walkthrough", "oracle's turns", "expert's turns")}
    measured["expert's success"] = Spread(len(values["expert's turns"]) / len(games))
    return measured | _mix([game.problem.goal.task_type for game in games], [game.room for game in games])


def expert_turns(layout: Layout, seed: int) -> int | None:
    """Lets the exploring expert play a game; returns the turns it needed, None if it did not win in time."""
    world, expert = World(layout), ExploringExpert(None, seed)
    text = world.reset()
    for turn in range(1, MAX_TURNS + 1):
        text = world.step(expert.act(text))
        if world.won:
            return turn
    return None


def _generated(split: str, number: int) -> Game:
    problem = generate(split, number)
    return Game(problem, room_number(problem))


def _kinds() -> list[str]:
    return sorted({room.kind for room in facts.load().rooms.values()})


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


def _mix(task_types: Sequence[str], rooms: Sequence[int]) -> dict[str, Spread]:
    types, kinds = Counter(task_types), Counter(map(kind_of_room, rooms))
    shares = {f"in a {kind}": kinds[kind] / len(rooms) for kind in _kinds()}
    shares |= {task_type: types[task_type] / len(task_types) for task_type in TASK_TYPES}
    return {name: Spread(share) for name, share in shares.items()}


def main(config: CompareConfig) -> int:
    """Prints the comparison. Returns 1 if a required mean is off by more than the tolerance."""
    from rich.console import Console
    from rich.table import Table

    rows = compare(config)
    table = Table(title="generated games in train and unseen rooms against real train games", title_justify="left")
    table.add_column("mean (10th/50th/90th percentile)", no_wrap=True)
    for heading in ("real", "train", "off by", "unseen"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row.name, str(row.real), str(row.train), f"{row.deviation:+.1%}", str(row.unseen))
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
