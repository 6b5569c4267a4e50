"""Many worlds stepped together: a `gymnasium.vector.VectorEnv` without autoreset.

The worlds are in this process, or in the worker processes of a pool (`envs.pool`), which has a deadline for each reset
and step, starts a worker again that died or hangs, and brings its worlds back to where they were. A world that fails as
often as the pool lets it is truncated, and `infos["error"]` says why.

Gymnasium's own `SyncVectorEnv` gives every world the same reset options, so it cannot start each on a task of its own;
without autoreset it refuses to step while one of its worlds is finished; and it takes about as long over putting the
answers together as a native world over its step. Its `AsyncVectorEnv` ends altogether when one worker dies. Here a
finished world stays as it is until it is reset, as every `TextEnv` does, and the others go on. Left out: rendering.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import index
from typing import Any, SupportsIndex

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.errors import InputError, shortened
from envs.pool import Pool, PoolConfig, Start, World
from envs.registry import env_class, make
from envs.types import Info, TextEnv
from envs.worlds import Answer, Failure

Reset = tuple[int | None, dict[str, Any]]
"""How one world is started: seed and options."""
Seeds = int | np.integer[Any] | Sequence[SupportsIndex | None] | NDArray[np.integer[Any]] | None
"""One seed for all worlds, or one each."""


def vector(
    name: str,
    num_envs: int,
    *,
    workers: int | None = None,
    **options: Any,  # noqa: ANN401 - each environment has its own options
) -> TextVectorEnv:
    """Makes many worlds that are stepped together.

    Args:
        name: as for `envs.make`.
        num_envs: how many.
        workers: worker processes to spread them over; 0 keeps them in this process. By default what the environment
            asks for (`TextEnv.in_process`): this process, or one worker a core.
        **options: as for `envs.make`, the same for all.

    Returns:
        The worlds.

    Raises:
        InputError: `num_envs` is below 1, `workers` below 0, or the name, an option or an option's value is not valid.
    """
    if num_envs < 1:
        raise InputError(f"num_envs should be 1 or more, got {num_envs}.")
    if workers is not None and workers < 0:
        raise InputError(f"workers should be 0 or more, got {workers}.")
    first = make(name, **options)
    if workers == 0 or (workers is None and env_class(name).in_process):
        return LocalVectorEnv([first, *(make(name, **options) for _ in range(num_envs - 1))])
    num_workers = min(PoolConfig(workers=workers or 0).num_workers, num_envs)
    pool = Pool(PoolConfig(workers=num_workers, worlds=-(-num_envs // num_workers)))
    return PooledVectorEnv(pool, World(name, options), num_envs, first)


class TextVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], NDArray[Any]]):
    """Worlds stepped together. Axis: one entry a world, N in all.

    `infos` are in Gymnasium's form for vectors: by key of `envs.types.Info` an array of N, and by "_" and the key
    whether a world has it now; after a `reset` of some worlds that is so for those only.
    """

    def __init__(self, num_envs: int, example: TextEnv) -> None:
        """Takes over the spaces.

        Args:
            num_envs: how many worlds there are.
            example: an environment with the spaces of each.
        """
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self.num_envs = num_envs
        self.single_observation_space = example.observation_space
        self.single_action_space = example.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._observations: list[str | None] = [None] * self.num_envs

    def reset(
        self,
        *,
        seed: Seeds = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Starts a task in all worlds, or in some.

        Args:
            seed: each world's, or one to which a world's number is added.
            options: "tasks", one task's name a world; "reset_mask", an array of N truth values, resets those only; all
                else is handed to each world.

        Returns:
            Every world's last text, and the infos of those that were reset.

        Raises:
            InputError: a seed, a task or a mask is missing for some world, or a world refuses its task.
            ResetNeeded: a world that the mask leaves out was never reset.
        """
        shared = dict(options or {})
        tasks = self._one_each("tasks", shared.pop("tasks", None))
        mask = np.asarray(self._one_each("reset_mask", shared.pop("reset_mask", [True] * self.num_envs)), dtype=bool)
        seeds = self._seeds(seed)
        resets = {
            number: (seeds[number], shared if tasks[number] is None else {**shared, "task": tasks[number]})
            for number in np.flatnonzero(mask).tolist()
        }
        infos: list[Mapping[str, Any]] = [{}] * self.num_envs
        for number, (text, info) in self._start(resets).items():
            self._observations[number], infos[number] = text, info
        return self._last(), _together(infos)

    def step(
        self, actions: Sequence[str]
    ) -> tuple[tuple[str, ...], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Plays one command in each world. A finished one stays as it is and pays nothing more.

        Args:
            actions: one command a world.

        Returns:
            Texts, rewards (N,), terminated (N,), truncated (N,), infos.

        Raises:
            InputError: there are more or fewer commands than worlds.
            ResetNeeded: before the first `reset`.
        """
        self._one_each("actions", actions)
        texts, rewards, terminated, truncated, infos = zip(*self._play(actions), strict=True)
        self._observations = list(texts)
        return texts, np.array(rewards, dtype=np.float64), np.array(terminated), np.array(truncated), _together(infos)

    @abstractmethod
    def _start(self, resets: Mapping[int, Reset]) -> Mapping[int, tuple[str, Info]]:
        """Resets these worlds."""

    @abstractmethod
    def _play(self, actions: Sequence[str]) -> Sequence[Answer]:
        """Steps all worlds."""

    def _seeds(self, seed: Seeds) -> list[int | None]:
        """One seed a world; numbers of numpy are as good as Python's."""
        if isinstance(seed, int | np.integer):
            return list(range(int(seed), int(seed) + self.num_envs))
        seeds = self._one_each("seed", seed)
        try:
            return [None if own is None else index(own) for own in seeds]
        except TypeError:
            raise InputError(f"seeds should be whole numbers, got {shortened(str(seed))}.") from None

    def _one_each(self, what: str, values: Sequence[Any] | NDArray[Any] | None) -> Sequence[Any] | NDArray[Any]:
        """Makes sure that there is one value a world; all are None if none is given."""
        if values is None:
            return [None] * self.num_envs
        if len(values) != self.num_envs:
            raise InputError(f"{what} should have one entry for each of the {self.num_envs} worlds, got {len(values)}.")
        return values

    def _last(self) -> tuple[str, ...]:
        texts = tuple(text for text in self._observations if text is not None)
        if len(texts) < self.num_envs:
            raise gymnasium.error.ResetNeeded("reset all worlds first; reset_mask is for later resets")
        return texts


class LocalVectorEnv(TextVectorEnv):
    """Worlds in this process, stepped one after another.

    Attributes:
        envs: the single worlds.
    """

    def __init__(self, envs: Sequence[TextEnv]) -> None:
        """Puts worlds together.

        Args:
            envs: at least one, all with the same spaces.
        """
        super().__init__(len(envs), envs[0])
        self.envs = list(envs)

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401 - as in Gymnasium
        """Closes all worlds."""
        for env in self.envs:
            env.close()

    def _start(self, resets: Mapping[int, Reset]) -> dict[int, tuple[str, Info]]:
        return {number: self.envs[number].reset(seed=seed, options=own) for number, (seed, own) in resets.items()}

    def _play(self, actions: Sequence[str]) -> list[Answer]:
        return [env.step(action) for env, action in zip(self.envs, actions, strict=True)]


class PooledVectorEnv(TextVectorEnv):
    """Worlds in a pool, which is closed with them.

    Attributes:
        pool: the pool.
    """

    def __init__(self, pool: Pool, world: World, num_envs: int, example: TextEnv) -> None:
        """Puts worlds into a pool.

        Args:
            pool: the pool, with room for all of them.
            world: the kind of world.
            num_envs: how many.
            example: an environment with the spaces of each.
        """
        super().__init__(num_envs, example)
        self.pool = pool
        self._world = world
        self._said: dict[int, tuple[str, Any]] = {}

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401 - as in Gymnasium
        """Ends all worlds and workers."""
        self.pool.close()

    def _start(self, resets: Mapping[int, Reset]) -> dict[int, tuple[str, Info]]:
        said = self.pool.reset({number: Start(self._world, seed, own) for number, (seed, own) in resets.items()})
        for number, value in said.items():
            self._said[number] = ("", {"error": value.cause}) if isinstance(value, Failure) else value
        return {number: self._said[number] for number in said}

    def _play(self, actions: Sequence[str]) -> list[Answer]:
        self._last()
        said = self.pool.step(dict(enumerate(actions)))
        return [self._answer(number, said[number]) for number in range(self.num_envs)]

    def _answer(self, number: int, said: Answer | Failure) -> Answer:
        """What a world answered; one that failed is where it was, and truncated."""
        if isinstance(said, Failure):
            text, info = self._said[number]
            told: Any = {**info, "error": said.cause}
            return text, 0.0, False, True, told
        self._said[number] = said[0], said[4]
        return said


def _together(infos: Sequence[Mapping[str, Any] | Info]) -> dict[str, Any]:
    """Turns infos by world into arrays by key; truth values become such an array, all else one of objects."""
    together: dict[str, Any] = {}
    for key in dict.fromkeys(chain.from_iterable(infos)):
        values = [info.get(key) for info in infos]
        present = [key in info for info in infos]
        kind = bool if isinstance(values[present.index(True)], bool) else object
        together[key] = np.fromiter(values, dtype=kind, count=len(values))
        together[f"_{key}"] = np.array(present)
    return together
