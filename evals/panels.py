"""Panels: fixed, hashed lists of evaluation tasks.

A panel is drawn from a seed or named by a file in `configs/panel/`. Either way its task names are hashed, and the hash
stands beside every score made on it, so that two scores can be seen to rest on the same tasks.

A panel's file names the environment, the options its tasks need and how they are chosen:

    env: alfworld
    options: {split: valid_seen}
    tasks: all          # or a number; so many are then drawn by the seed
    seed: 0
    sha256: 5b2a...     # optional: refuses data in which other tasks are found

The hash covers the names of the tasks. What stands behind a name is the environment's: a game file, or a number from
which its generator makes the game.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agents.draws import stream_seed
from envs import presets, registry
from envs.errors import InputError, unknown
from envs.registry import options_of
from envs.types import TextEnv

_KEYS = ("env", "options", "tasks", "seed", "sha256")
_ALL = "all"
# A split that goes on longer than this without repeating a task is taken for endless.
_MOST_TASKS = 1 << 17


@dataclass(frozen=True)
class Panel:
    """A list of tasks.

    Attributes:
        name: what it is called.
        tasks: task names, in order.
    """

    name: str
    tasks: tuple[str, ...]

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.name}, {len(self.tasks)} tasks, sha256 {self.sha256}"

    @property
    def sha256(self) -> str:
        """Hash of the task names in order."""
        return hashlib.sha256(json.dumps(self.tasks).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """How summaries record it."""
        return {"name": self.name, "tasks": len(self.tasks), "sha256": self.sha256}


@dataclass(frozen=True)
class FixedPanel:
    """What a file in `configs/panel/` says.

    Attributes:
        name: the file's name.
        env: name of the environment.
        options: options of the environment that the tasks need; they win over the run's own.
        tasks: number of tasks to draw; None takes the whole split.
        seed: keys the draw.
        sha256: the hash that the task names must have; empty if any will do.
    """

    name: str
    env: str
    options: dict[str, Any] = field(default_factory=dict)
    tasks: int | None = None
    seed: int = 0
    sha256: str = ""

    def check_env(self, env: str) -> None:
        """Makes sure that the panel is of the environment that a command was given.

        Raises:
            InputError: it is of another one.
        """
        if env != self.env:
            raise InputError(f"panel={self.name} is a panel of env={self.env}, not of env={env}.")

    def find(self, env: TextEnv) -> Panel:
        """Finds the panel's tasks.

        Args:
            env: an environment with the panel's options.

        Returns:
            The panel.

        Raises:
            InputError: the environment's data does not hold these tasks.
        """
        if self.tasks is None:
            panel = Panel(self.name, tuple(sorted(_whole_split(env, self))))
        else:
            panel = draw(env, self.name, self.seed, self.tasks)
        if self.tasks is not None and len(panel.tasks) < self.tasks:
            raise InputError(
                f"panel={self.name} has {self.tasks} tasks, but the data here has {len(panel.tasks)}: "
                f"{env.describe_data()}."
            )
        if self.sha256 and panel.sha256 != self.sha256:
            raise InputError(
                f"panel={self.name} has tasks of sha256 {self.sha256[:12]}, but those here have {panel.sha256[:12]}: "
                f"{env.describe_data()}. Give the data the panel was made from (data=PATH)."
            )
        return panel


def read(name: str) -> FixedPanel:
    """Reads a panel's file.

    Args:
        name: its name in `configs/panel/`.

    Raises:
        InputError: there is no such file, or it lacks something or holds something else.
    """
    content = presets.read("panel", name)
    for given in content:
        if given not in _KEYS:
            raise unknown(f"key in configs/panel/{name}.yaml", given, _KEYS)
    tasks, seed = content.get("tasks"), content.get("seed", 0)
    rule = FixedPanel(
        name=name,
        env=content.get("env", ""),
        options=content.get("options") or {},
        tasks=None if tasks == _ALL else tasks,
        seed=seed,
        sha256=content.get("sha256", ""),
    )
    for given, allowed, valid in (
        ("env", "an environment's name", isinstance(rule.env, str) and rule.env != ""),
        ("options", "a mapping", isinstance(rule.options, dict)),
        ("tasks", "a number of at least 1, or all", tasks == _ALL or (isinstance(tasks, int) and tasks >= 1)),
        ("seed", "a whole number of at least 0", isinstance(seed, int) and seed >= 0),
        ("sha256", "64 hexadecimal digits", isinstance(rule.sha256, str) and len(rule.sha256) in (0, 64)),
    ):
        if not valid:
            raise InputError(f"configs/panel/{name}.yaml: {given} must be {allowed}, got {content.get(given)!r}.")
    return rule


def draw(env: TextEnv, name: str, seed: int, count: int, *, excluding: Sequence[str] = ()) -> Panel:
    """Draws a panel of distinct tasks from an environment's split.

    Args:
        env: an environment of the split.
        name: what to call the panel.
        seed: keys the draw.
        count: tasks wanted; a finite split with fewer gives all it has.
        excluding: tasks that must not be in it.

    Returns:
        The panel, without repetitions.
    """
    drawn = env.sample_tasks(seed, count + len(excluding))
    left_out = set(excluding)
    distinct = list(dict.fromkeys(task for task in drawn if task not in left_out))
    return Panel(name, tuple(distinct[:count]))


def choose(
    env: Any,  # noqa: ANN401 - the options class differs between environments
    panel: str,
    split: str,
    seed: int,
    count: int,
) -> tuple[partial[TextEnv], Panel]:
    """Finds the panel of a command, a fixed one or the one that belongs to its seed, and what makes its environments.

    Training and evaluation with the same environment and seed meet on the same panel.

    Args:
        env: the options below the command's key `env`.
        panel: name of a fixed panel, whose options win over those of `env`; or empty to draw one.
        split: the split to draw from.
        seed: the command's seed.
        count: tasks to draw.

    Returns:
        What makes an environment in which the tasks can be played (its `keywords` are the options), and the panel.

    Raises:
        InputError: the panel is of another environment, or the tasks are not in the data.
    """
    fixed = read(panel) if panel else None
    if fixed is not None:
        fixed.check_env(env.name)
    make = partial(registry.make, env.name, **(options_of(env) | (fixed.options if fixed else {"split": split})))
    if fixed is not None:
        return make, fixed.find(make())
    return make, draw(make(), f"{env.name}-{split}-seed{seed}", stream_seed(seed, "panel"), count)


def _whole_split(env: TextEnv, rule: FixedPanel) -> set[str]:
    """All tasks of a finite split."""
    count = 1
    while count <= _MOST_TASKS:
        distinct = set(env.sample_tasks(rule.seed, count))
        if len(distinct) < count:
            return distinct
        count *= 2
    raise InputError(
        f"panel={rule.name} takes a whole split, but the one here has no end: {env.describe_data()}. "
        "Give the data the panel was made from (data=PATH)."
    )
