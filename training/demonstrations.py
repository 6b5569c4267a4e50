"""Demonstrations: an expert's episodes with action noise, as token rows with a weight on every token.

An expert alone never shows how to get out of trouble, and a clone of it gets stuck at its first mistake. So now and
then a burst of other commands is played (admissible ones at random, or garbled ones that the world answers with
"Nothing happens."), and the expert goes on from wherever that led. The noise is context, not an example: its tokens
weigh nothing. Where actions are free text there is no noise. What the world says weighs a little: predicting it
teaches a small model the names and numbers that commands are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from agents.dialogue import Dialogue
from envs.types import Info
from envs.worlds import Answer, Failure, Start, Worlds

AT_A_TIME = 64
"""Most demonstrations that are played side by side."""


@dataclass(frozen=True)
class Noise:
    """How often and how the expert is interrupted.

    Attributes:
        burst_probability: chance that a burst begins at a turn.
        burst_turns: mean length of a burst, geometric.
        invalid_share: share of a burst's commands that are garbled.
    """

    burst_probability: float = 0.08
    burst_turns: float = 2.0
    invalid_share: float = 0.5


@dataclass(frozen=True)
class Step:
    """One turn of a demonstration.

    Attributes:
        observation: what was seen.
        admissible_commands: the commands that would have done something.
        command: what was played.
        labelled: False if it was noise.
        won: whether it won.
    """

    observation: str
    admissible_commands: list[str]
    command: str
    labelled: bool
    won: bool = False


class _Demonstration:
    """A demonstration in play."""

    def __init__(self, start: Start, seed: int, noise: Noise) -> None:
        self.steps: list[Step] = []
        self._said = start
        self._generator = np.random.default_rng([seed, 0xDE30])
        self._noise = noise
        self._burst = 0

    def choose(self, proposed: str) -> str:
        """Plays what the player proposes, or noise."""
        text, info = self._said
        can_stray = bool(info["admissible_commands"])
        if can_stray and self._burst == 0 and self._generator.random() < self._noise.burst_probability:
            self._burst = int(self._generator.geometric(1.0 / self._noise.burst_turns))
        command = _disturbed(info, self._generator, self._noise) if self._burst else proposed
        self.steps.append(Step(text, info["admissible_commands"], command, labelled=self._burst == 0))
        self._burst = max(self._burst - 1, 0)
        return command

    def take(self, answer: Answer) -> bool:
        """Takes what the world answered; True if that was the end."""
        text, _, terminated, truncated, info = answer
        self._said = text, info
        if info["won"]:
            self.steps[-1] = replace(self.steps[-1], won=True)
        return terminated or truncated


def demonstrations(
    worlds: Worlds,
    player: str,
    tasks: Sequence[str],
    seeds: Sequence[int],
    noise: Noise,
    ended: Callable[[], None] = lambda: None,
) -> list[list[Step] | Failure]:
    """Plays tasks with a scripted player and noise, each a pure function of player, task, seed and noise.

    Args:
        worlds: where they are played.
        player: a name of `TextEnv.players`.
        tasks: the tasks' names.
        seeds: of the player and the noise, one a task.
        noise: how the player is interrupted.
        ended: called whenever one has ended.

    Returns:
        One demonstration a task, in order; a `Failure` where the environment broke it.

    Raises:
        InputError: the environment refuses a task or has no such player.
    """
    results: dict[int, list[Step] | Failure] = {}
    running: dict[int, _Demonstration] = {}
    waiting = iter(range(len(tasks)))
    most = min(AT_A_TIME, worlds.capacity)
    try:
        while True:
            while rows := list(islice(waiting, most - len(running))):
                for row, start in worlds.reset({row: tasks[row] for row in rows}).items():
                    if isinstance(start, Failure):
                        results[row] = start
                        worlds.release([row])
                        ended()
                    else:
                        running[row] = _Demonstration(start, seeds[row], noise)
            if not running:
                return [results[row] for row in range(len(tasks))]
            proposed = worlds.act(player, {row: seeds[row] for row in running})
            commands = {row: running[row].choose(said) for row, said in zip(running, proposed, strict=True)}
            for row, answer in worlds.step(commands).items():
                if isinstance(answer, Failure):
                    results[row] = answer
                elif running[row].take(answer):
                    results[row] = running[row].steps
                if row in results:
                    del running[row]
                    worlds.release([row])
                    ended()
    finally:
        worlds.release(list(running))


def _disturbed(info: Info, generator: np.random.Generator, noise: Noise) -> str:
    commands = info["admissible_commands"]
    command = commands[int(generator.integers(len(commands)))]
    if generator.random() >= noise.invalid_share:
        return command
    other = commands[int(generator.integers(len(commands)))].split()
    pieces = command.split()
    cut = int(generator.integers(1, len(pieces) + 1))
    return " ".join(pieces[:cut] + other[-max(1, len(pieces) - cut) :])


def texts(steps: list[Step]) -> Iterator[str]:
    """What is read and said in a demonstration, piece by piece as it is tokenized."""
    for step in steps:
        yield f"{step.observation.strip()}\n\n>"
        yield f" {step.command}"


def tokenize(
    steps: list[Step], dialogue: Dialogue, observation_weight: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """One row: ids (T,) and the weight of predicting each of them (T,)."""
    ids: list[int] = []
    weights: list[float] = []
    for number, step in enumerate(steps):
        seen = (
            dialogue.bridge(step.observation, step.admissible_commands, ids[-1])
            if number
            else dialogue.opening(step.observation, step.admissible_commands)
        )
        said = dialogue.spoken(step.command)
        ids += [*seen, *said]
        weights += [observation_weight] * len(seen) + [float(step.labelled)] * len(said)
    weights[0] = 0.0
    return np.array(ids, dtype=np.int64), np.array(weights, dtype=np.float32)
