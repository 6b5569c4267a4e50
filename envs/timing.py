"""How fast environments play: episodes timed one world at a time and in a batch, and what they leave in memory.

Times are seconds of processor time, so that other work on the machine disturbs them little; of worlds that work in
other processes (`TextEnv.in_process`), of which that would miss most, they are the seconds that pass. A scripted player
chooses the commands; its own time is left out, for the commands are played again when it has chosen them all.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import psutil

from envs.errors import InputError
from envs.types import TextEnv
from envs.vector import TextVectorEnv

# On a busy virtual machine the clock of processor time stands still for moments.
_LEAST_SECONDS = 1e-9
_STATUS = Path("/proc/self/statm")


Clock = Callable[[], float]
"""Says how many seconds it is since some moment."""


def clock_of(env: TextEnv | type[TextEnv]) -> Clock:
    """The clock for a world's work: of this process, or of all that is waited for."""
    return time.process_time if env.in_process else time.perf_counter


class Script(NamedTuple):
    """An episode to play again.

    Attributes:
        task: its task.
        commands: in order.
        said: a hash over text, reward, flags and admissible commands after each.
    """

    task: str
    commands: tuple[str, ...]
    said: str


@dataclass
class Timing:
    """Seconds and counts.

    Attributes:
        clock: what the seconds are taken from.
        episodes: how many were played.
        steps: in all of them.
        open_seconds: of the first reset of each task, which loads it.
        reset_seconds: of another reset of each.
        step_seconds: of all steps.
        won: episodes won.
    """

    clock: Clock = time.process_time
    episodes: int = 0
    steps: int = 0
    open_seconds: float = 0.0
    reset_seconds: float = 0.0
    step_seconds: float = 0.0
    won: int = 0

    def each(self) -> dict[str, float]:
        """Returns the seconds that one of each takes; an episode is a load, a reset and its steps."""
        each = {
            "load and reset": self.open_seconds / self.episodes,
            "reset": self.reset_seconds / self.episodes,
            "step": self.step_seconds / self.steps,
            "episode": (self.open_seconds + self.step_seconds) / self.episodes,
        }
        return {what: max(seconds, _LEAST_SECONDS) for what, seconds in each.items()}


def record(env: TextEnv, player: str, tasks: Iterable[str], seed: int, timing: Timing) -> list[Script]:
    """Times episodes that a player plays.

    Args:
        env: the environment.
        player: a name of `env.players`.
        tasks: one an episode; none of them should have been opened before.
        seed: the player's.
        timing: gets the times added.

    Returns:
        The episodes.
    """

    def play(task: str) -> tuple[str, ...]:
        commands = tuple(play_episode(env, player, task, seed))
        env.reset(options={"task": task})
        return commands

    return [_time_episode(env, task, play, timing) for task in tasks]


def replay(env: TextEnv, script: Script, timing: Timing) -> bool:
    """Times a recorded episode in another environment.

    Args:
        env: the environment.
        script: the episode.
        timing: gets the times added.

    Returns:
        Whether the same was said.
    """
    return _time_episode(env, script.task, lambda task: script.commands, timing) == script


def replay_together(envs: TextVectorEnv, scripts: Sequence[Script], clock: Clock = time.process_time) -> Timing:
    """Times recorded episodes played side by side, one batch after another; steps of finished worlds are not counted.

    Args:
        envs: the worlds.
        scripts: the episodes; they are gone through again until the last batch is full.
        clock: what the seconds are taken from.

    Returns:
        The times. All tasks are opened before, so there are none for that.
    """
    timing, size = Timing(clock), envs.num_envs
    for start in range(0, len(scripts), size):
        batch = [scripts[(start + number) % len(scripts)] for number in range(size)]
        options = {"tasks": [script.task for script in batch]}
        envs.reset(options=options)
        begun = clock()
        envs.reset(options=options)
        timing.reset_seconds += clock() - begun
        rows = list(zip_longest(*[script.commands for script in batch], fillvalue=""))
        begun = clock()
        for row in rows:
            envs.step(row)
        timing.step_seconds += clock() - begun
        timing.episodes += size
        timing.steps += sum(len(script.commands) for script in batch)
    return timing


def play_episode(env: TextEnv, player: str, task: str, seed: int) -> Iterator[str]:
    """Lets a player play a task; yields its commands."""
    text, info = env.reset(options={"task": task})
    actor = env.players[player](env, seed)
    terminated = truncated = False
    while not (terminated or truncated):
        command = actor.act(text, info)
        yield command
        text, _, terminated, truncated, info = env.step(command)


def watch_memory(env: TextEnv, player: str, seed: int, episodes: int) -> Iterator[tuple[int, float]]:
    """Plays fresh episodes and looks at the resident memory of this process and of those that it has started.

    Args:
        env: the environment.
        player: a name of `env.players`.
        seed: of tasks and player.
        episodes: how many to play.

    Yields:
        Episodes played so far and megabytes: before the first, and ten times more.

    Raises:
        InputError: this system does not tell.
    """
    marks = {episodes * row // 10 for row in range(1, 11)}
    yield 0, resident_megabytes()
    for number, task in enumerate(env.sample_tasks(seed, episodes), start=1):
        for _ in play_episode(env, player, task, seed + number):
            pass
        if number in marks:
            yield number, resident_megabytes()


def resident_megabytes() -> float:
    """Returns how much memory this process has, with its children; what they share counts for each.

    Raises:
        InputError: this system does not tell.
    """
    try:
        pages = int(_STATUS.read_text(encoding="ascii").split()[1])
    except OSError:
        raise InputError(f"memory is read from {_STATUS}, which this system does not have.") from None
    held = pages * os.sysconf("SC_PAGE_SIZE")
    for child in psutil.Process().children(recursive=True):
        # It may have ended meanwhile.
        with suppress(psutil.Error):
            held += child.memory_info().rss
    return held / 1e6


def _time_episode(env: TextEnv, task: str, choose: Callable[[str], tuple[str, ...]], timing: Timing) -> Script:
    """Opens a task, starts it again and plays what is chosen then."""
    clock = timing.clock
    begun = clock()
    env.reset(options={"task": task})
    opened = clock()
    env.reset(options={"task": task})
    timing.open_seconds += opened - begun
    timing.reset_seconds += clock() - opened
    commands = choose(task)
    answers = []
    begun = clock()
    for command in commands:
        answers.append(env.step(command))
    timing.step_seconds += clock() - begun
    timing.episodes += 1
    timing.steps += len(commands)
    timing.won += bool(answers) and answers[-1][4]["won"]
    said = [(*answer[:4], answer[4]["admissible_commands"]) for answer in answers]
    # What was said itself would make the garbage collector slower and slower.
    return Script(task, commands, hashlib.sha256(repr(said).encode()).hexdigest())
