"""What all wrappers share, and wrapped worlds as classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import gymnasium

from envs.errors import InputError
from envs.registry import env_class
from envs.types import Info, Player, TextEnv

_OF_THE_CLASS = (
    "cloned",
    "config_class",
    "free_text",
    "in_process",
    "instructions",
    "reference_options",
    "step_parts",
)
_SPACES = ("observation_space", "action_space")


class Played(NamedTuple):
    """One command, played in the world inside.

    Attributes:
        before: what the world said of itself before.
        command: the command.
        after: what it said after.
        reward: what it paid.
        terminated: whether the episode is won or lost.
        truncated: whether it was cut.
    """

    before: Info
    command: str
    after: Info
    reward: float
    terminated: bool
    truncated: bool


class Wrapper(TextEnv):
    """A world around a world, which changes nothing; others change parts of it.

    A finished episode stays finished here, so that a subclass need not think of it.

    Attributes:
        env: the world inside.
    """

    def __init__(self, env: TextEnv) -> None:
        """Goes around a world.

        Args:
            env: the world inside.
        """
        self.env = env
        # What other worlds say of themselves as classes, a wrapper can only say of the world inside.
        vars(self).update({name: getattr(env, name) for name in (*_OF_THE_CLASS, *_SPACES)})
        vars(self)["players"] = _players_inside(env.players)
        self._heard: tuple[str, Info] | None = None
        self._said: tuple[str, float, bool, bool, Info] | None = None

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws the tasks of the world inside."""
        return self.env.sample_tasks(seed, count)

    @property
    def evaluation_split(self) -> str:
        """That of the world inside."""
        return self.env.evaluation_split

    @property
    def unwrapped(self) -> TextEnv:
        """The innermost world."""
        unwrapped: TextEnv = self.env.unwrapped  # type: ignore[assignment]
        return unwrapped

    def content_of(self, task: str) -> str:
        """What the world inside has behind a task's name."""
        return self.env.content_of(task)

    def describe_data(self) -> str:
        """What the world inside says, and what is around it."""
        return f"{self.env.describe_data()}; {type(self).__name__}"

    def close(self) -> None:
        """Closes the world inside."""
        self.env.close()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task of the world inside."""
        self._said = self._heard = None
        self._heard = self.env.reset(seed=seed, options=options)
        return self.on_reset(*self._heard)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Plays one command; after the end nothing happens any more and the last text is returned again.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        if self._heard is None:
            raise gymnasium.error.ResetNeeded("call reset() first")
        if self._said is not None and (self._said[2] or self._said[3]):
            text, _, terminated, truncated, info = self._said
            return text, 0.0, terminated, truncated, info
        command = self.read(action, self._heard[1])
        before = self._heard[1]
        text, reward, terminated, truncated, info = self.env.step(command)
        self._heard = text, info
        played = Played(before, command, info, float(reward), terminated, truncated)
        self._said = self.on_step(text, played)
        return self._said

    def on_reset(self, text: str, info: Info) -> tuple[str, Info]:
        """Returns what is said at the start, given what the world inside says."""
        return text, info

    def read(self, action: str, info: Info) -> str:
        """Returns the command for the world inside, given an action and what the world said before."""
        return action

    def on_step(self, text: str, played: Played) -> tuple[str, float, bool, bool, Info]:
        """Returns the answer to a command, given what the world inside answered."""
        return text, played.reward, played.terminated, played.truncated, played.after


def wrapped(world: str) -> Callable[[Callable[[TextEnv], TextEnv]], type[TextEnv]]:
    """Makes a class of a function that puts wrappers around a world, so that it can be named as a world of its own.

    Args:
        world: the world inside, as for `envs.make`.

    Returns:
        A decorator of such functions. The class has the function's name, module and docstring.

    Raises:
        InputError: there is no such world.
    """
    inner = env_class(world)

    def decorate(wrap: Callable[[TextEnv], TextEnv]) -> type[TextEnv]:
        def start(self: Wrapper, **options: Any) -> None:  # noqa: ANN401 - fields of the inner world's configuration
            Wrapper.__init__(self, wrap(inner(**options)))

        said: dict[str, Any] = {name: getattr(inner, name) for name in (*_OF_THE_CLASS, *_SPACES)}
        named = {"__module__": wrap.__module__, "__qualname__": wrap.__qualname__, "__doc__": wrap.__doc__}
        own = {"__init__": start, "players": _players_inside(inner.players), "describe_data": _describe_inside}
        return type(wrap.__name__, (Wrapper,), {**said, **named, **own})

    return decorate


class _PlayerInside:
    """A player of the world inside, who hears what that world says and not what is made of it."""

    def __init__(self, name: str, env: TextEnv, seed: int) -> None:
        if not isinstance(env, Wrapper):
            raise InputError(f"this player plays wrapped worlds only, not {type(env).__name__}.")
        self._env = env
        self._player: Player = env.env.players[name](env.env, seed)

    def act(self, text: str, info: Info) -> str:
        return self._player.act(*(self._env._heard or (text, info)))


def _players_inside(
    players: Mapping[str, Callable[[TextEnv, int], Player]],
) -> Mapping[str, Callable[[TextEnv, int], Player]]:
    return {name: partial(_PlayerInside, name) for name in players}


def _describe_inside(self: Wrapper) -> str:
    return self.env.describe_data()
