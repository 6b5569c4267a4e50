"""Demonstrations: an expert's episodes with action noise, as token rows with a weight on every token.

An expert alone never shows how to get out of trouble, and a clone of it gets stuck at its first mistake. So now and
then a burst of other commands is played (admissible ones at random, or garbled ones that the world answers with
"Nothing happens."), and the expert goes on from wherever that led. The noise is context, not an example: its tokens
weigh nothing. What the world says weighs a little: predicting it teaches a small model the names and numbers that
commands are made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.dialogue import Dialogue
from envs.types import Info, TextEnv


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
    """

    observation: str
    admissible_commands: list[str]
    command: str
    labelled: bool


def demonstrate(env: TextEnv, player: str, task: str, seed: int, noise: Noise) -> list[Step]:
    """Plays one task with a scripted player and noise, a pure function of its arguments."""
    generator = np.random.default_rng([seed, 0xDE30])
    text, info = env.reset(options={"task": task})
    expert = env.players[player](env, seed)
    steps: list[Step] = []
    burst, done = 0, False
    while not done:
        proposed = expert.act(text, info)
        if burst == 0 and generator.random() < noise.burst_probability:
            burst = int(generator.geometric(1.0 / noise.burst_turns))
        command = _disturbed(info, generator, noise) if burst else proposed
        steps.append(Step(text, info["admissible_commands"], command, labelled=burst == 0))
        burst = max(burst - 1, 0)
        text, _, terminated, truncated, info = env.step(command)
        done = terminated or truncated
    return steps


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
