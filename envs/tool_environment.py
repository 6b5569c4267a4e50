"""Our worlds in the form that TRL's trainers take as `environment_factory` (TRL 1.16).

TRL makes one object a rollout from the factory. `reset` gets the columns of the dataset's row and returns what is added
to the last message of its prompt, every other public method is a tool that the model may call, and `get_reward` scores
the finished rollout. A row therefore needs a column "task":

    factory = environment_factory("alfworld", max_turns=20)
    rows = task_rows("alfworld", seed=0, count=1000, max_turns=20)
    GRPOTrainer(model, environment_factory=factory, train_dataset=Dataset.from_list(rows), ...)

All rollouts of a row play its task, which is what group advantages rest on. TRL is not imported here. Left out: worlds
in worker processes; TRL calls tools one after another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from envs.errors import InputError
from envs.registry import env_class, make
from envs.types import TextEnv
from envs.wrappers import AdmissibleList

_OVER = "The episode is over."


def environment_factory(name: str, **options: Any) -> Callable[[], CommandEnvironment | AnswerEnvironment]:  # noqa: ANN401
    """Returns what TRL's `environment_factory=` takes; it pickles.

    Args:
        name: the world, as for `envs.make`.
        **options: its options.

    Raises:
        InputError: there is no such world, or an option is not valid.
    """
    make(name, **options).close()
    kind = AnswerEnvironment if env_class(name).free_text else CommandEnvironment
    return partial(kind, name, options)


def task_rows(name: str, seed: int, count: int, **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Draws tasks as rows of a dataset: "prompt", one message with the world's instructions, and "task".

    Args:
        name: the world, as for `envs.make`.
        seed: of the draw.
        count: how many tasks.
        **options: the world's options, its split among them.
    """
    env = make(name, **options)
    prompt = [{"role": "user", "content": f"{env.instructions}\n\n"}]
    return [{"prompt": prompt, "task": task} for task in env.sample_tasks(seed, count)]


class _Episode:
    """The episode that a rollout plays. A tool's answer after the end says that it is over."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self._env: TextEnv = AdmissibleList(make(name, **options))
        self._return, self._over = 0.0, True

    def reset(self, task: str | None = None, **columns: Any) -> str:  # noqa: ANN401 - the row's other columns
        """Starts the task of a row.

        Args:
            task: its name.
            **columns: not used.

        Returns:
            The first text.

        Raises:
            InputError: the row has no task, or the world does not know it.
        """
        del columns
        if task is None:
            raise InputError('a row of the dataset needs a column "task"; envs.tool_environment.task_rows makes some.')
        self._return, self._over = 0.0, False
        return self._env.reset(options={"task": task})[0]

    def get_reward(self) -> float:
        """Returns what the episode has paid so far."""
        return self._return

    def _step(self, action: str) -> str:
        if self._over:
            return _OVER
        text, reward, terminated, truncated, _ = self._env.step(action)
        self._return += reward
        self._over = terminated or truncated
        return f"{text}\n\n{_OVER}" if self._over else text


class CommandEnvironment(_Episode):
    """A world of commands, played by the tool `play`."""

    def play(self, command: str) -> str:
        """Gives one command to the game and returns what happens.

        Args:
            command: The command, one of the admissible ones.

        Returns:
            What the game says.
        """
        return self._step(command)


class AnswerEnvironment(_Episode):
    """A world of free text, answered by the tool `answer`."""

    def answer(self, text: str) -> str:
        """Hands in an answer and returns what is said to it.

        Args:
            text: The whole answer.

        Returns:
            What is said to it.
        """
        return self._step(text)
