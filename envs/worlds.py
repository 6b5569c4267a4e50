"""Where the worlds of a rollout's running episodes are.

A rollout plays many episodes at a time and knows each by its row. All rows that are started or stepped together are
handed over together, so that worlds in other processes (`envs.pool`) work side by side; those in this process
(`LocalWorlds`) do it one after another. What goes wrong in a world is the result of its row, not an exception.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass
class Seat:
    """One world, the player beside it, and what it said last.

    Attributes:
        env: the world.
        said: its last text and info; None before the first reset.
        player: built when it is first asked in an episode.
    """

    env: TextEnv
    said: Start | None = None
    player: Player | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Start:
        """Starts an episode; as `TextEnv.reset`."""
        self.player = None
        self.said = self.env.reset(seed=seed, options=options)
        return self.said

    def act(self, player: str, seed: int) -> str:
        """Asks the player for the next command; see `Players`.

        Raises:
            InputError: the environment has no player of this name.
        """
        assert self.said is not None
        if self.player is None:
            if player not in self.env.players:
                raise unknown("player", player, self.env.players)
            self.player = self.env.players[player](self.env, seed)
        return self.player.act(*self.said)

    def step(self, command: str) -> Answer:
        """Plays a command; as `TextEnv.step`."""
        answer = self.env.step(command)
        self.said = answer[0], answer[4]
        return answer

    def close(self) -> None:
        """Closes the world, which may be in any state; one that cannot be closed is left to the end of the process."""
        with suppress(Exception):
            self.env.close()


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
        self._seats: dict[int, Seat] = {}
        self._failed: dict[int, Failure] = {}
        self._idle: list[Seat] = []

    def reset(self, tasks: Mapping[int, str]) -> dict[int, Start | Failure]:
        """See `Worlds`."""
        return {row: self._reset(row, task) for row, task in tasks.items()}

    def act(self, player: str, seeds: Mapping[int, int]) -> list[str]:
        """See `Players`."""
        return [self._act(row, player, seed) for row, seed in seeds.items()]

    def step(self, commands: Mapping[int, str]) -> dict[int, Answer | Failure]:
        """See `Worlds`."""
        return {row: self._step(row, command) for row, command in commands.items()}

    def release(self, rows: Iterable[int]) -> None:
        """See `Worlds`."""
        for row in rows:
            self._failed.pop(row, None)
            seat = self._seats.pop(row, None)
            if seat is not None:
                self._idle.append(seat)

    def _reset(self, row: int, task: str) -> Start | Failure:
        seat = self._seats[row] = self._idle.pop() if self._idle else Seat(self._make_env())
        try:
            return seat.reset(options={"task": task})
        except InputError:
            raise
        except Exception as error:  # as in _step
            if missing := missing_file(error):
                raise InputError(missing) from error
            return self._fail(row, error)

    def _act(self, row: int, player: str, seed: int) -> str:
        if row in self._failed:
            return ""
        try:
            return self._seats[row].act(player, seed)
        except InputError:
            raise
        except Exception as error:  # as in _step
            self._fail(row, error)
            return ""

    def _step(self, row: int, command: str) -> Answer | Failure:
        if row in self._failed:
            return self._failed[row]
        try:
            return self._seats[row].step(command)
        except Exception as error:  # whatever a world or a player may raise is an episode's result, not the run's end
            return self._fail(row, error)

    def _fail(self, row: int, error: Exception) -> Failure:
        self._seats.pop(row).close()
        self._failed[row] = failure = Failure(f"{type(error).__name__}: {error}")
        return failure
