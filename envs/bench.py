"""`python -m envs.bench env=NAME`: how fast is an environment?

Plays whole episodes in one process and reports resets and steps a second, the player's own time left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from envs.command import run_command
from envs.config_schema import key
from envs.errors import unknown
from envs.registry import ENVIRONMENT_ALIASES, environment_key, make_from
from envs.types import TextEnv


@dataclass(frozen=True)
class BenchConfig:
    """Keys of `envs.bench`."""

    aliases: ClassVar[Mapping[str, str]] = ENVIRONMENT_ALIASES

    env: Any = environment_key("the environment to time")
    player: str = key("random", "the environment's player that plays")
    episodes: int = key(50, "episodes to play", unit="episodes", minimum=1)
    seed: int = key(0, "keys the tasks and the player", minimum=0)


@dataclass
class Timing:
    """Seconds and counts of one measurement."""

    resets: int = 0
    reset_seconds: float = 0.0
    steps: int = 0
    step_seconds: float = 0.0
    won: int = 0


def measure(env: TextEnv, player: str, episodes: int, seed: int) -> Timing:
    """Plays `episodes` episodes and times `reset` and `step`."""
    timing = Timing()
    for task in env.sample_tasks(seed, episodes):
        started = time.perf_counter()
        text, info = env.reset(options={"task": task})
        timing.reset_seconds += time.perf_counter() - started
        timing.resets += 1
        actor = env.players[player](env, seed)
        terminated = truncated = False
        while not (terminated or truncated):
            command = actor.act(text, info)
            started = time.perf_counter()
            text, _, terminated, truncated, info = env.step(command)
            timing.step_seconds += time.perf_counter() - started
            timing.steps += 1
        timing.won += info["won"]
    return timing


def main(config: BenchConfig) -> None:
    """Measures and prints the table."""
    started = time.perf_counter()
    env = make_from(config.env)
    if config.player not in env.players:
        raise unknown("player", config.player, env.players)
    env.sample_tasks(config.seed, 1)
    make_seconds = time.perf_counter() - started
    timing = measure(env, config.player, config.episodes, config.seed)
    table = Table("what", "count", "seconds", "a second", title=f"{config.env.name}: {env.describe_data()}")
    table.add_row("make", "1", f"{make_seconds:.2f}", "")
    for name, count, seconds in (
        ("reset", timing.resets, timing.reset_seconds),
        ("step", timing.steps, timing.step_seconds),
    ):
        table.add_row(name, f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}")
    console = Console()
    console.print(table)
    console.print(f"{config.player} won {timing.won} of {timing.resets} episodes.")


if __name__ == "__main__":
    sys.exit(run_command("python -m envs.bench", BenchConfig, main, description="How fast is an environment?"))
