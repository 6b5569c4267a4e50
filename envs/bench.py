"""`python -m envs.bench env=NAME`: how fast is an environment?

A player plays whole episodes, and its commands are played again and timed: one world at a time, many worlds in a batch,
and beside the environment's reference engine where it has one. Text, admissible commands and anchor are made at every
step, as `step` does for anybody. Times are of the processor; of an environment that works in other processes, they are
those that pass.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from envs.command import run_command
from envs.config_schema import key
from envs.errors import MissingExtraError, unknown
from envs.files import check_writable, writing
from envs.registry import ENVIRONMENT_ALIASES, env_class, environment_key, make, make_from, options_of
from envs.sampling import Samples
from envs.timing import Script, Timing, clock_of, play_episode, record, replay, replay_together, watch_memory
from envs.types import TextEnv
from envs.vector import vector

TARGET = 1000
"""How many times as fast as its reference engine an environment should be, on steps and on load and reset."""
TARGETED = ("step", "load and reset")
SAMPLED_SECONDS = 2.0
PROCESSOR_TIME = "processor time"
SMALLEST_SHARE = 0.005
"""Parts of a step below this are not printed."""


@dataclass(frozen=True)
class BenchConfig:
    """Keys of `envs.bench`."""

    aliases: ClassVar[Mapping[str, str]] = ENVIRONMENT_ALIASES

    env: Any = environment_key("the environment to time")
    player: str = key("random", "the environment's player that chooses the commands; its own time does not count")
    episodes: int = key(64, "episodes to play", unit="episodes", minimum=1)
    batch: int = key(64, "worlds in the batch; 0 leaves it out", unit="worlds", minimum=0)
    reference_episodes: int = key(
        3, "how many of the episodes the reference engine plays too, if there is one", unit="episodes", minimum=0
    )
    memory_episodes: int = key(
        0,
        "fresh episodes to play while the memory of this process and its children is watched",
        unit="episodes",
        minimum=0,
    )
    seed: int = key(0, "keys the tasks and the player", minimum=0)
    out: str = key("", "file for the figures, as JSON")


@dataclass
class Figures:
    """What was measured; times in seconds of what `time` says.

    Attributes:
        env: the environment's name.
        time: what a second is: of "processor time" of this process, or "time that passes" where the environment works
            in other processes.
        data: what it plays.
        player: who chose the commands.
        make: time to make the environment.
        episodes: played.
        won: of these.
        steps: in these.
        each: by "load and reset", "reset", "step", "episode": the time for one.
        reference: the same of the reference engine; empty if it was left out.
        ratios: reference over the environment's own.
        differences: episodes in which the two engines said something different.
        batch: the same as `each` for a world in a batch; empty if it was left out.
        parts: shares of a step's time.
        memory: [episodes played, megabytes of this process and its children], in order.
    """

    env: str
    time: str
    data: str
    player: str
    make: float = 0.0
    episodes: int = 0
    won: int = 0
    steps: int = 0
    each: dict[str, float] = field(default_factory=dict)
    reference: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    differences: int = 0
    batch: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[int, float]] = field(default_factory=list)


def main(config: BenchConfig) -> int:
    """Measures and prints. Returns 1 if the reference engine said something else."""
    console = Console(highlight=False, markup=False)
    out = Path(config.out).expanduser() if config.out else None
    if out is not None:
        check_writable(out, "out")
    clock = clock_of(env_class(config.env.name))
    begun = clock()
    env = make_from(config.env)
    made = clock() - begun
    if config.player not in env.players:
        raise unknown("player", config.player, env.players)
    kind = PROCESSOR_TIME if env.in_process else "time that passes"
    figures = Figures(config.env.name, kind, env.describe_data(), config.player, made)
    console.print(f"{figures.env}: {figures.data}\nmade in {_duration(made)}", soft_wrap=True)
    scripts = _play(config, env, figures, console)
    if config.batch:
        worlds = vector(config.env.name, config.batch, workers=0, **options_of(config.env))
        together = replay_together(worlds, scripts, clock)
        figures.batch = {what: seconds for what, seconds in together.each().items() if what in ("reset", "step")}
    console.print(_speed_table(figures, config.batch))
    console.print(f"{figures.player} won {figures.won} of {figures.episodes} episodes.")
    figures.parts = _step_parts(env, scripts)
    console.print(_parts_table(figures))
    _say_target(figures, console)
    if config.memory_episodes:
        _watch(config, env, figures, console)
    if out is not None:
        with writing(out):
            out.write_text(json.dumps(asdict(figures), indent=1) + "\n", encoding="utf-8")
    return int(figures.differences > 0)


def _play(config: BenchConfig, env: TextEnv, figures: Figures, console: Console) -> list[Script]:
    """Plays the episodes, the first of them with the reference engine too.

    Its turn comes early: every game in memory is more for the garbage collector to look at, and would slow it down.
    """
    *tasks, other = env.sample_tasks(config.seed, config.episodes + 1)
    # What is imported and read once by whoever plays first does not count.
    list(play_episode(env, config.player, other, config.seed))
    reference = _open_reference(config, env, other, console)
    own, theirs = (Timing(clock_of(env)) for _ in range(2))
    shared = config.reference_episodes if reference is not None else 0
    scripts = record(env, config.player, tasks[:shared], config.seed, own)
    if reference is not None:
        figures.differences = sum(not replay(reference, script, theirs) for script in scripts)
    scripts += record(env, config.player, tasks[shared:], config.seed, own)
    figures.episodes, figures.won, figures.steps, figures.each = own.episodes, own.won, own.steps, own.each()
    if reference is not None:
        figures.reference = theirs.each()
        figures.ratios = {what: seconds / figures.each[what] for what, seconds in figures.reference.items()}
    return scripts


def _open_reference(config: BenchConfig, env: TextEnv, task: str, console: Console) -> TextEnv | None:
    """Makes the reference engine and lets it open a task; None if there is none, or it is not wanted or installed."""
    options = options_of(config.env)
    chosen = {**options, **env.reference_options}
    if chosen == options or not config.reference_episodes:
        return None
    reference = make(config.env.name, **chosen)
    try:
        reference.reset(options={"task": task})
    except MissingExtraError as error:
        console.print(f"The reference engine is left out: {error}", soft_wrap=True)
        return None
    return reference


def _step_parts(env: TextEnv, scripts: list[Script]) -> dict[str, float]:
    """Samples where the time of steps goes, the largest share first."""
    samples, clock = Samples(), clock_of(env)
    end = clock() + SAMPLED_SECONDS
    with samples.taken(waiting=not env.in_process):
        while clock() < end:
            for script in scripts:
                env.reset(options={"task": script.task})
                samples.count = True
                for command in script.commands:
                    env.step(command)
                samples.count = False
    return samples.shares({**env.step_parts, f"*.{_step_parts.__name__}": "the loop of this measurement"})


def _watch(config: BenchConfig, env: TextEnv, figures: Figures, console: Console) -> None:
    """Plays fresh episodes and prints the memory while they are played."""
    table = Table("episodes played", "resident memory", title="memory, children included", title_justify="left")
    for episodes, megabytes in watch_memory(env, config.player, config.seed + 1, config.memory_episodes):
        figures.memory.append((episodes, megabytes))
        table.add_row(f"{episodes:,}", f"{megabytes:,.1f} MB")
    console.print(table)


def _speed_table(figures: Figures, worlds: int) -> Table:
    waits = figures.time != PROCESSOR_TIME
    title = "seconds that pass: it works in other processes" if waits else "seconds of processor time"
    table = Table("one", title=title, title_justify="left")
    for heading in ("takes", "a second", *(("reference takes", "a second", "ratio") if figures.reference else ())):
        table.add_column(heading, justify="right")
    for what, seconds in figures.each.items():
        row = [what, _duration(seconds), f"{1 / seconds:,.0f}"]
        if figures.reference:
            slow = figures.reference[what]
            row += [_duration(slow), f"{1 / slow:,.2f}", f"{figures.ratios[what]:,.0f}"]
        table.add_row(*row)
    for what, seconds in figures.batch.items():
        row = [f"{what}, in a batch of {worlds}", _duration(seconds), f"{1 / seconds:,.0f}"]
        table.add_row(*row, *(["", "", f"{figures.reference[what] / seconds:,.0f}"] if figures.reference else []))
    return table


def _parts_table(figures: Figures) -> Table:
    table = Table("part of a step", title="where the time of a step goes", title_justify="left")
    table.add_column("share", justify="right")
    table.add_column("takes", justify="right")
    for part, share in figures.parts.items():
        if share >= SMALLEST_SHARE:
            table.add_row(part, f"{share:.0%}", _duration(share * figures.each["step"]))
    return table


def _say_target(figures: Figures, console: Console) -> None:
    if not figures.ratios:
        return
    if figures.differences:
        console.print(f"The reference engine said something else in {figures.differences} episodes.")
    else:
        console.print("The reference engine said the same, to the last byte.")
    reached = ", ".join(f"{figures.ratios[what]:,.0f} on {what}" for what in TARGETED)
    console.print(f"Target: {TARGET:,} times as fast as the reference engine. Reached: {reached}.", soft_wrap=True)


def _duration(seconds: float) -> str:
    """Writes a time with three digits in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


if __name__ == "__main__":
    sys.exit(run_command("python -m envs.bench", BenchConfig, main, description="How fast is an environment?"))
