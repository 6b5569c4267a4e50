"""Environments whose rollouts are played in a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from envs.pool.counts import Counts
from envs.pool.episode import Start as EpisodeStart
from envs.pool.episode import World
from envs.pool.supervision import Pool
from envs.registry import env_class, make
from envs.types import TextEnv
from envs.worlds import Answer, Failure, Start


class Pooled:
    """Environments of one kind: called, it makes one in this process; `agents.rollout` plays them in the pool.

    It is an `envs.worlds.Worlds`. Several may share a pool, one rollout after another.

    Attributes:
        pool: the pool.
    """

    def __init__(self, pool: Pool, name: str, **options: Any) -> None:  # noqa: ANN401 - as for `make`
        """Names the kind of environment.

        Args:
            pool: where rollouts are played.
            name: as for `envs.make`; the class must be importable by its module's name.
            **options: as for `envs.make`.
        """
        self.pool = pool
        self._world = World(name, options)

    def __call__(self) -> TextEnv:
        """Makes an environment in this process, for drawing tasks and describing data."""
        return make(self._world.name, **self._world.options)

    @property
    def capacity(self) -> int:
        """How many episodes can run at a time."""
        return self.pool.capacity

    def reset(self, tasks: Mapping[int, str]) -> dict[int, Start | Failure]:
        """See `Worlds`."""
        return self.pool.reset({row: EpisodeStart(self._world, None, {"task": task}) for row, task in tasks.items()})

    def act(self, player: str, seeds: Mapping[int, int]) -> list[str]:
        """See `Players`."""
        said = self.pool.act(player, seeds)
        return ["" if isinstance(said[row], Failure) else said[row] for row in seeds]

    def step(self, commands: Mapping[int, str]) -> dict[int, Answer | Failure]:
        """See `Worlds`."""
        return self.pool.step(commands)

    def release(self, rows: Iterable[int]) -> None:
        """See `Worlds`."""
        self.pool.release(rows)


def place(name: str, options: Mapping[str, Any], pool: Pool) -> Callable[[], TextEnv]:
    """Chooses where an environment's rollouts are played, by its `TextEnv.in_process`.

    Args:
        name: as for `envs.make`.
        options: as for `envs.make`.
        pool: the pool for those that are not played in this process.

    Returns:
        What makes such an environment; `agents.rollout` takes it as it is.
    """
    return partial(make, name, **options) if env_class(name).in_process else Pooled(pool, name, **options)


def counts_of(make_env: Callable[[], TextEnv]) -> Counts:
    """What the pool behind this has done so far; nothing where rollouts are played in this process."""
    return make_env.pool.counts if isinstance(make_env, Pooled) else Counts()
