"""Where the worlds of a rollout's running episodes are.

A rollout plays many episodes at a time and knows each by its row. All rows that are started or stepped together are
handed over together, so that worlds in other processes (`envs.pool`) work side by side; those in this process
(`LocalWorlds`) do it one after another. What goes wrong in a world is the result of its row, not an exception.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from envs.errors import InputError, unknown
from envs.types import Info, Player, TextEnv

Start = tuple[str, Info]
"""What `reset` returns: text and info."""
Answer = tuple[str, float, bool, bool, Info]
"""What `step` returns: text, reward, terminated, truncated, info."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A world failed; its episode cannot go on.

    Attributes:
        cause: what happened, the same for every run that meets it.
    """

    cause: str


class Players(Protocol):
    """The scripted players of running episodes, each beside its world."""

    def act(self, player: str, seeds: Mapping[int, int]) -> list[str]:
        """Asks the rows' players for their next commands.

        Args:
            player: a name of `TextEnv.players`.
            seeds: by row, the seed of its player, which is built when the row is first asked in an episode.

        Returns:
            One command a row, in the order of `seeds`; an empty one where the world failed, as `step` will say.

        Raises:
            InputError: the environment has no player of this name.
        """
        ...


class Worlds(Players, Protocol):
    """Worlds by row.

    Attributes:
        capacity: how many episodes can run at a time.
    """

    @property
    def capacity(self) -> int:
        """See the class."""
        ...

    def reset(self, tasks: Mapping[int, str]) -> Mapping[int, Start | Failure]:
        """Starts an episode in each of these rows, which must be free.

        Args:
            tasks: by row, the task's name.

        Raises:
            InputError: the environment refuses its configuration or a task.
        """
        ...

    def step(self, commands: Mapping[int, str]) -> Mapping[int, Answer | Failure]:
        """Plays one command in each of these rows."""
        ...

    def release(self, rows: Iterable[int]) -> None:
        """Frees these rows, whose episodes have ended or are given up."""
        ...


def missing_file(error: Exception) -> str:
    """Says that a file which a world needs to start a task cannot be had; "" if the error is about something else.

    The world has no answer then to any command, and an episode that counts as lost would be a lie.
    """
    if not isinstance(error, OSError) or error.filename is None:
        return ""
    return f"cannot use {str(error.filename)!r}: {error.strerror or error}."


class LocalWorlds:
    """Worlds in this process. A world that failed is not used again; others play one episode after another.

    Attributes:
        capacity: without limit.
    """

    capacity = sys.maxsize

    def __init__(self, make_env: Callable[[], TextEnv]) -> None:
        """Makes no world yet.

        Args:
            make_env: makes an environment.
        """
        self._make_env = make_env
        self._envs: dict[int, TextEnv] = {}
        self._idle: list[TextEnv] = []
        self._said: dict[int, Start] = {}
        self._players: dict[int, Player] = {}

    def reset(self, tasks: Mapping[int, str]) -> dict[int, Start | Failure]:
        """See `Worlds`."""
        return {row: self._reset(row, task) for row, task in tasks.items()}

    def act(self, player: str, seeds: Mapping[int, int]) -> list[str]:
        """See `Players`."""
        return [self._player(row, player, seed).act(*self._said[row]) for row, seed in seeds.items()]

    def step(self, commands: Mapping[int, str]) -> dict[int, Answer | Failure]:
        """See `Worlds`."""
        answers: dict[int, Answer | Failure] = {}
        for row, command in commands.items():
            try:
                answer = self._envs[row].step(command)
            except Exception as error:  # whatever a world may raise is an episode's result, not the run's end
                answers[row] = self._fail(row, error)
                continue
            answers[row] = answer
            self._said[row] = answer[0], answer[4]
        return answers

    def release(self, rows: Iterable[int]) -> None:
        """See `Worlds`."""
        for row in rows:
            self._players.pop(row, None)
            self._said.pop(row, None)
            env = self._envs.pop(row, None)
            if env is not None:
                self._idle.append(env)

    def _reset(self, row: int, task: str) -> Start | Failure:
        env = self._envs[row] = self._idle.pop() if self._idle else self._make_env()
        try:
            self._said[row] = env.reset(options={"task": task})
        except InputError:
            raise
        except Exception as error:  # as in step
            if missing := missing_file(error):
                raise InputError(missing) from error
            return self._fail(row, error)
        return self._said[row]

    def _fail(self, row: int, error: Exception) -> Failure:
        # It may be in any state.
        del self._envs[row]
        return Failure(f"{type(error).__name__}: {error}")

    def _player(self, row: int, name: str, seed: int) -> Player:
        if row not in self._players:
            env = self._envs[row]
            if name not in env.players:
                raise unknown("player", name, env.players)
            self._players[row] = env.players[name](env, seed)
        return self._players[row]
