"""Many worlds in one process, stepped together: a `gymnasium.vector.VectorEnv` without autoreset.

Gymnasium's own `SyncVectorEnv` gives every world the same reset options, so it cannot start each on a task of its own;
without autoreset it refuses to step while one of its worlds is finished; and it takes about as long over putting the
answers together as a native world over its step. Here a finished world stays as it is until it is reset, as every
`TextEnv` does, and the others go on. Left out: rendering, and worlds in several processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.errors import InputError
from envs.registry import make
from envs.types import Info, TextEnv


def vector(name: str, num_envs: int, **options: Any) -> TextVectorEnv:  # noqa: ANN401 - each environment has its own options
    """Makes many worlds that are stepped together.

    Args:
        name: as for `envs.make`.
        num_envs: how many.
        **options: as for `envs.make`, the same for all.

    Returns:
        The worlds.

    Raises:
        InputError: `num_envs` is below 1, or the name, an option or an option's value is not valid.
    """
    if num_envs < 1:
        raise InputError(f"num_envs should be 1 or more, got {num_envs}.")
    return TextVectorEnv([make(name, **options) for _ in range(num_envs)])


class TextVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], NDArray[Any]]):
    """Worlds stepped together. Axis: one entry a world, N in all.

    `infos` are in Gymnasium's form for vectors: by key of `envs.types.Info` an array of N, and by "_" and the key
    whether a world has it now; after a `reset` of some worlds that is so for those only.

    Attributes:
        envs: the single worlds.
    """

    def __init__(self, envs: Sequence[TextEnv]) -> None:
        """Puts worlds together.

        Args:
            envs: at least one, all with the same spaces.
        """
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self.envs = list(envs)
        self.num_envs = len(self.envs)
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._observations: list[str | None] = [None] * self.num_envs

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
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
        seeds = self._one_each("seed", range(seed, seed + self.num_envs) if isinstance(seed, int) else seed)
        infos: list[Mapping[str, Any]] = [{}] * self.num_envs
        for number in np.flatnonzero(mask).tolist():
            own = shared if tasks[number] is None else {**shared, "task": tasks[number]}
            self._observations[number], infos[number] = self.envs[number].reset(seed=seeds[number], options=own)
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
        answers = [env.step(action) for env, action in zip(self.envs, actions, strict=True)]
        texts, rewards, terminated, truncated, infos = zip(*answers, strict=True)
        self._observations = list(texts)
        return texts, np.array(rewards, dtype=np.float64), np.array(terminated), np.array(truncated), _together(infos)

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401 - as in Gymnasium
        """Closes all worlds."""
        for env in self.envs:
            env.close()

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
