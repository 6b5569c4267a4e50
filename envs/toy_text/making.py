"""Gymnasium's discrete environments made from options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import yaml
from gymnasium import spaces
from gymnasium.envs.toy_text.frozen_lake import MAPS, generate_random_map

from envs.config_schema import check_values, key, names_in
from envs.errors import InputError, shortened, unknown
from envs.toy_text.wording import Env, wants_picture

SPLITS = ("train", "valid", "test")

_RANDOM_MAP = re.compile(r"random:([1-9][0-9]?)")
_LARGEST_MAP = 20


@dataclass(frozen=True)
class ToyTextConfig:
    """Options of Gymnasium's environments as text."""

    id: str = key(
        "FrozenLake-v1",
        "Gymnasium's name of the environment, without a version the newest; module:Name-v0 imports the module first",
    )
    split: str = key("train", "which tasks", choices=SPLITS)
    map: str = key("", "FrozenLake: 4x4, 8x8, or random:N for a map of N by N squares that differs from task to task")
    slippery: bool | None = key(None, "FrozenLake, CliffWalking: whether steps slip; null leaves it to Gymnasium")
    options: tuple[str, ...] = key((), "further options for gymnasium.make, such as [is_rainy=true]")
    max_turns: int = key(100, "commands after which an episode is truncated", unit="turns", minimum=1)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: if one is not allowed.
        """
        check_values(self)
        object.__setattr__(self, "options", names_in(self.options))
        object.__setattr__(self, "id", _with_version(self.id))
        for option in self.options:
            if not re.fullmatch(r"[a-z_]\w*=.+", option):
                raise InputError(f"an option for gymnasium.make is written NAME=VALUE, got {shortened(option)!r}.")
            _value(option)
        if self.map and self.map not in MAPS and not 2 <= self.random_map_size <= _LARGEST_MAP:
            raise InputError(
                f"map should be {' or '.join(MAPS)}, or random:N with N from 2 to {_LARGEST_MAP}, got {self.map!r}."
            )

    @property
    def random_map_size(self) -> int:
        """Returns the squares along a side of random maps, 0 where maps are not random."""
        found = _RANDOM_MAP.fullmatch(self.map)
        return int(found[1]) if found else 0

    @property
    def label(self) -> str:
        """Writes what is played as names of tasks state it, such as "FrozenLake-v1/map=8x8"."""
        changes = [f"map={self.map}"] if self.map else []
        changes += [f"slippery={str(self.slippery).lower()}"] if self.slippery is not None else []
        return "/".join([self.id, ",".join([*changes, *self.options])]).removesuffix("/")

    @property
    def make_options(self) -> dict[str, Any]:
        """Returns the options as keyword arguments of `gymnasium.make`."""
        made: dict[str, Any] = {option.partition("=")[0]: _value(option) for option in self.options}
        if self.map in MAPS:
            made["map_name"] = self.map
        if self.slippery is not None:
            made["is_slippery"] = self.slippery
        return made


def _value(option: str) -> Any:  # noqa: ANN401 - whatever YAML reads
    """Reads the value of an option that is written NAME=VALUE."""
    try:
        return yaml.safe_load(option.partition("=")[2])
    except (RecursionError, ValueError, yaml.YAMLError):
        raise InputError(f"the value of {shortened(option)!r} cannot be read: it is not YAML.") from None


def random_map(config: ToyTextConfig, seed: int) -> list[str] | None:
    """Returns the rows of a random map, in Gymnasium's letters; None where maps are not random."""
    rows: list[str] = generate_random_map(config.random_map_size, seed=seed) if config.random_map_size else []
    return rows or None


def made(config: ToyTextConfig, rows: list[str] | None) -> Env:
    """Makes an environment without a time limit of its own.

    Args:
        config: the options.
        rows: of its map, where that is random.

    Raises:
        InputError: there is no such environment, it does not take the options, or its spaces are not discrete.
    """
    options = config.make_options | ({"desc": rows} if rows else {})
    env = _gymnasium_make(config.id, options)
    _check_spaces(config.id, env)
    if wants_picture(env):
        env.close()
        env = _gymnasium_make(config.id, {**options, "render_mode": "ansi"})
    return env


def _with_version(name: str) -> str:
    """Adds the newest version to a name without one."""
    versions = [spec.version for spec in gymnasium.registry.values() if spec.id == f"{name}-v{spec.version}"]
    return f"{name}-v{max(version or 0 for version in versions)}" if versions else name


def _gymnasium_make(name: str, options: Mapping[str, Any]) -> Env:
    if ":" not in name and name not in gymnasium.registry:
        specs = gymnasium.registry.values()
        ours = [spec.id for spec in specs if str(spec.entry_point).startswith("gymnasium.envs.toy_text")]
        error = unknown("Gymnasium environment", name, ours)
        raise InputError(f"{error} Others that are registered can be named too, and module:Name-v0.")
    try:
        return gymnasium.make(name, max_episode_steps=-1, disable_env_checker=True, **options)
    except ModuleNotFoundError as error:
        raise InputError(f"{name} needs the module {error.name!r}, which is not installed.") from None
    except (TypeError, ValueError, KeyError, AssertionError, gymnasium.error.Error) as error:
        given = ", ".join(f"{option}={value!r}" for option, value in options.items()) or "no options"
        raise InputError(f"gymnasium.make refuses {name!r} with {shortened(given)}: {shortened(str(error))}") from None


def _check_spaces(name: str, env: Env) -> None:
    if not isinstance(env.action_space, spaces.Discrete) or not _is_discrete(env.observation_space):
        raise InputError(
            f"{name} has actions {shortened(str(env.action_space))} and observations"
            f" {shortened(str(env.observation_space))}. toy_text plays Discrete actions, and observations that are"
            " Discrete, MultiDiscrete or tuples of such."
        )


def _is_discrete(space: spaces.Space[Any]) -> bool:
    if isinstance(space, spaces.Tuple):
        return all(_is_discrete(part) for part in space.spaces)
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete)


def has_one_start(env: Env) -> bool:
    """Whether an environment that tells its starts has but one."""
    starts = getattr(env.unwrapped, "initial_state_distrib", None)
    return starts is not None and int(np.count_nonzero(starts)) == 1
