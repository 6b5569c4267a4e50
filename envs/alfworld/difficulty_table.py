"""`python -m envs.alfworld.difficulty_table`: what each option of generated games does to how hard they are.

Every row plays the same games of one split, changed by one option. Two players who know nothing of a game but its text
measure it: the exploring expert, which searches by what it knows of households, and the random player, which gets more
turns than usual, as it almost never wins in 50. What a reading policy has to cope with stands beside it: the words of
an observation and the commands to choose from, both along the expert's way.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

from envs.alfworld.dialects import PACKAGED
from envs.alfworld.difficulty import AS_REAL, Difficulty
from envs.alfworld.experts import ExploringExpert
from envs.alfworld.generator import SPLITS, generate
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.sentences import SENTENCES
from envs.alfworld.world import World
from envs.command import run_command
from envs.config_schema import key

LEVELS = (
    AS_REAL,
    *(Difficulty(clutter=factor) for factor in (0, 2, 4)),
    *(Difficulty(receptacles=share) for share in (0.5, 0.25)),
    *(Difficulty(distractors=number) for number in (5, 20)),
    *(Difficulty(task_types=(name,)) for name in SENTENCES),
)
"""The rows of the table."""

_EXPERT_TURNS = 50
_WIDTH = 150


@dataclass(frozen=True)
class TableConfig:
    """Keys of the table."""

    games: int = key(300, "games a row", unit="games", minimum=1)
    split: str = key("train", "whose rooms they play in", choices=SPLITS)
    random_turns: int = key(500, "turns that the random player gets", unit="turns", minimum=1)
    first: int = key(0, "number of the first game", minimum=0)


class Row(NamedTuple):
    """One row: means over the games.

    Attributes:
        label: the options, "as real" for none.
        receptacles: of the room.
        objects: in the room.
        oracle_turns: length of the shortest plan.
        expert_turns: turns of the expert's won games.
        expert_success: share of the games that the expert wins in 50 turns.
        random_success: share of the games that the random player wins.
        words: of an observation on the expert's way.
        commands: admissible ones on the expert's way.
    """

    label: str
    receptacles: float
    objects: float
    oracle_turns: float
    expert_turns: float
    expert_success: float
    random_success: float
    words: float
    commands: float


class _Way(NamedTuple):
    turns: int | None
    words: float
    commands: float


def measure(difficulty: Difficulty, config: TableConfig) -> Row:
    """Plays the games of one row."""
    numbers = range(config.first, config.first + config.games)
    layouts = [Layout(generate(config.split, number, difficulty), PACKAGED) for number in numbers]
    ways = [_explore(layout, number) for number, layout in enumerate(layouts)]
    won = [way.turns for way in ways if way.turns is not None]
    lucky = sum(_wander(layout, number, config.random_turns) for number, layout in enumerate(layouts))
    return Row(
        label=difficulty.label or "as real",
        receptacles=mean(len(layout.receptacle_names) for layout in layouts),
        objects=mean(len(layout.object_names) for layout in layouts),
        oracle_turns=mean(len(plan(layout) or ()) for layout in layouts),
        expert_turns=mean(won) if won else float("nan"),
        expert_success=len(won) / len(layouts),
        random_success=lucky / len(layouts),
        words=mean(way.words for way in ways),
        commands=mean(way.commands for way in ways),
    )


def _explore(layout: Layout, seed: int) -> _Way:
    """Lets the expert play."""
    world, expert = World(layout), ExploringExpert(None, seed)
    said, commands = [world.reset()], [len(world.admissible_commands())]
    while not world.won and len(said) <= _EXPERT_TURNS:
        said.append(world.step(expert.act(said[-1])))
        commands.append(len(world.admissible_commands()))
    return _Way(len(said) - 1 if world.won else None, mean(len(text.split()) for text in said), mean(commands))


def _wander(layout: Layout, seed: int, turns: int) -> bool:
    """Lets the random player play; returns whether it wins."""
    world, draw = World(layout), random.Random(seed)
    for _ in range(turns):
        world.step(draw.choice(world.admissible_commands()))
        if world.won:
            return True
    return False


def show(rows: Sequence[Row], config: TableConfig) -> None:
    """Prints the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{config.games} generated games a row, split {config.split}", title_justify="left")
    table.add_column("options", no_wrap=True)
    random_heading = f"random's success in {config.random_turns}"
    headings = ("receptacles", "objects", "oracle's turns", "expert's turns", "expert's success", random_heading)
    for heading in (*headings, "words", "commands"):
        table.add_column(heading, justify="right")
    for row in rows:
        shares = (f"{share:.1%}" for share in (row.expert_success, row.random_success))
        sizes = (f"{size:.1f}" for size in (row.receptacles, row.objects, row.oracle_turns, row.expert_turns))
        table.add_row(row.label, *sizes, *shares, f"{row.words:.0f}", f"{row.commands:.0f}")
    # A narrow terminal wraps lines; a narrower table would lose figures.
    Console(width=max(Console().width, _WIDTH)).print(table)


def main(config: TableConfig) -> None:
    """Measures and prints."""
    from rich.progress import track

    show([measure(difficulty, config) for difficulty in track(LEVELS, "playing", transient=True)], config)


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m envs.alfworld.difficulty_table",
            TableConfig,
            main,
            description="Measures what each option of generated games does to how hard they are.",
        )
    )
