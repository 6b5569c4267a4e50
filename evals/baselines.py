"""`python -m evals.baselines tasks=100`: how hard is each world, for those who know and those who guess?

Plays the random player, the oracle and the expert of every environment on the same drawn tasks of its evaluation split,
with its default options, and prints their success with 95 % Wilson intervals in one table. Environments are found by
themselves; one whose packages are missing is named with its install line, and the others are played.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agents.policies.scripted import ScriptedPolicy
from envs import registry
from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError, unknown
from envs.pool import Pool, PoolConfig, place
from envs.types import TextEnv
from evals.panels import Panel, draw

if TYPE_CHECKING:
    from evals.scoring import Score

PLAYERS = ("random", "oracle", "expert")


@dataclass(frozen=True)
class BaselinesConfig:
    """Keys of `evals.baselines`."""

    envs: tuple[str, ...] = key((), "the worlds to play, such as [alfworld,sokoban]; empty plays all")
    tasks: int = key(100, "tasks of each world", unit="tasks", minimum=1)
    seed: int = key(0, "keys the tasks and the players", minimum=0)
    pool: PoolConfig = field(default_factory=PoolConfig)


@dataclass(frozen=True)
class World:
    """A world that can be played.

    Attributes:
        make_env: makes it, with its evaluation split.
        split: that split.
        panel: the tasks.
        players: which of `PLAYERS` it has.
    """

    make_env: Callable[[], TextEnv]
    split: str
    panel: Panel
    players: tuple[str, ...]


def main(config: BaselinesConfig) -> int:
    """Plays all and prints the table."""
    from rich.table import Table

    from envs.screen import Screen

    for name in config.envs:
        if name not in registry.names() and ":" not in name:
            raise unknown("environment", name, registry.names())
    screen = Screen(None)
    table = Table("world", "split", caption="Success with 95 % Wilson intervals.")
    for column in ("tasks", *PLAYERS):
        table.add_column(column, justify="right")
    missing = []
    for name in config.envs or registry.names():
        try:
            with Pool(config.pool, screen.print) as pool:
                world = prepare(name, config.tasks, config.seed, pool)
                with screen.bar(name, len(world.panel.tasks) * len(world.players)) as bar:
                    found = measure(world, config.seed, bar.advance)
        except InputError as error:
            missing.append(f"not played: {name}: {error}")
        except Exception as error:  # another project's world may fail in any way; the others are played
            missing.append(f"not played: {name}: {type(error).__name__}: {error}")
        else:
            cells = (_cell(found[player]) if player in found else "-" for player in PLAYERS)
            table.add_row(name, world.split, str(len(world.panel.tasks)), *cells)
    screen.print(table)
    for line in missing:
        screen.print(line)
    return 0


def prepare(name: str, tasks: int, seed: int, pool: Pool) -> World:
    """Finds out what of a world can be played, and draws its tasks.

    Args:
        name: the world's name, as for `envs.make`.
        tasks: tasks to draw from its evaluation split, each once; a smaller split gives all it has.
        seed: keys the draw.
        pool: where the episodes are played if the world is slow or may crash.

    Raises:
        InputError: the world cannot be made.
    """
    with closing(registry.make(name)) as env:
        split = env.evaluation_split
    make_env = place(name, {"split": split}, pool)
    with closing(make_env()) as env:
        panel = draw(env, f"{name}-{split}-baselines", seed, tasks)
        return World(make_env, split, panel, tuple(player for player in PLAYERS if player in env.players))


def measure(world: World, seed: int, advance: Callable[[], None]) -> dict[str, Score]:
    """Plays a world's tasks once with each of its players.

    Args:
        world: the world.
        seed: keys the players.
        advance: called after every episode.

    Returns:
        By player, what it achieves.
    """
    from evals.scoring import play, score

    return {
        player: score(play(world.make_env, ScriptedPolicy(player), world.panel, seed, ended=lambda _: advance()))
        for player in world.players
    }


def _cell(found: Score) -> str:
    from evals.figures import ABSENT, range_of_percent
    from evals.findings import percent

    broken = f"\n{found.errors} broken" if found.errors else ""
    return f"{percent(found.success)}\n{range_of_percent(found.interval, ABSENT)}{broken}"


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m evals.baselines",
            BaselinesConfig,
            main,
            description="Success of every world's random player, oracle and expert, with intervals, in one table.",
        )
    )
