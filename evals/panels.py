"""Panels: fixed, hashed lists of evaluation tasks.

A panel is drawn from a seed or named by a file in `configs/panel/`. Either way its task names are hashed, and the hash
stands beside every score made on it, so that two scores can be seen to rest on the same tasks. What stands behind the
names is hashed too (`TextEnv.content_of`): the questions and levels of data, what a generator makes of a name, a
package.

A panel's file names the environment, how its tasks are chosen, how they are meant to be played, and the hashes:

    env: math
    data: openai/gsm8k             # optional: where the data is, unless data= names another place
    options: {split: test}         # options of the environment that choose the tasks; they win over the command's
    tasks: all                     # a number (drawn by the seed), or a list of names
    size: 1319                     # optional: how many tasks `all` must find
    seed: 0                        # of the draw
    turns: 1                       # optional: the environment's max_turns, unless the command names another number
    sampling: {temperatures: [0.0], seeds: [0]}   # optional, likewise
    sha256: 5b2a...                # of the names in order, or: not yet pinned
    content_sha256: 90fe...        # of what stands behind them, or: not yet pinned

Other tasks than the pinned ones are refused. A hash that is not yet pinned is recorded at first use in the cache folder
(`panels/NAME.json` below $KEYSTONE_CACHE or ~/.cache/keystone), and holds from then on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from agents.draws import stream_seed
from envs import registry
from envs.errors import InputError, shortened
from envs.registry import config_class, options_of
from envs.types import TextEnv
from evals import panel_records
from evals.panel_files import NOT_PINNED, Rule, Sampling
from evals.panel_files import read as read_rule

# A split that goes on longer than this without repeating a task is taken for endless.
_MOST_TASKS = 1 << 17


@dataclass(frozen=True)
class Panel:
    """A list of tasks.

    Attributes:
        name: what it is called.
        tasks: task names, in order.
        content_sha256: hash of what stands behind the names, in order; empty where the world says no more than they
            do, or nobody looked.
        notes: what a command should say about how the panel was found.
    """

    name: str
    tasks: tuple[str, ...]
    content_sha256: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        """One line for people."""
        content = f", of their content {self.content_sha256}" if self.content_sha256 else ""
        return f"{self.name}, {len(self.tasks)} tasks, sha256 {self.sha256}{content}"

    @property
    def sha256(self) -> str:
        """Hash of the task names in order."""
        return hashlib.sha256(json.dumps(self.tasks).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """How summaries record it."""
        content = {"content_sha256": self.content_sha256} if self.content_sha256 else {}
        return {"name": self.name, "tasks": len(self.tasks), "sha256": self.sha256} | content

    def with_content(self, env: TextEnv) -> Panel:
        """Looks behind the names.

        Args:
            env: an environment that has these tasks.

        Returns:
            The panel with the hash of what it found there.
        """
        contents = [env.content_of(task) for task in self.tasks]
        if not any(contents):
            return self
        digests = [hashlib.sha256(each.encode("utf-8", "surrogateescape")).hexdigest() for each in contents]
        return replace(self, content_sha256=hashlib.sha256(json.dumps(digests).encode()).hexdigest())


@dataclass(frozen=True)
class FixedPanel(Rule):
    """What a file in `configs/panel/` says, and the tasks that it stands for."""

    def check_env(self, env: str) -> None:
        """Makes sure that the panel is of the environment that a command was given.

        Raises:
            InputError: it is of another one.
        """
        if env != self.env:
            raise InputError(f"panel={self.name} is a panel of env={shortened(self.env)}, not of env={env}.")

    def options_with(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Puts the panel's options and a command's together.

        Args:
            given: the environment's options as the command has them.

        Returns:
            The options to play with, and lines about those that the command gave otherwise.
        """
        defaults = {option.name: option.default for option in fields(config_class(self.env))}
        options, notes = given | self.options, []
        for name, value in self.options.items():
            typed = given.get(name)
            if typed != defaults.get(name) and _plain(typed) != _plain(value):
                notes.append(f"panel={self.name} is played with env.{name}={value}; {typed} is not used.")
        if self.data and not given.get("data"):
            options["data"] = self.data
        if self.turns is not None:
            if given.get("max_turns") == defaults.get("max_turns"):
                options["max_turns"] = self.turns
            elif given.get("max_turns") != self.turns:
                notes.append(
                    f"panel={self.name} states {self.turns} turns, and here {given['max_turns']} are played: compare "
                    "the scores with others of as many."
                )
        return options, notes

    def find(self, env: TextEnv, *, record: bool = True) -> Panel:
        """Finds the panel's tasks.

        Args:
            env: an environment with the panel's options.
            record: whether hashes that are not yet pinned are recorded, and compared with those of the first use.

        Returns:
            The panel.

        Raises:
            InputError: the environment's data does not hold these tasks.
        """
        if not isinstance(self.tasks, int) and self.tasks is not None:
            panel = Panel(self.name, self.tasks)
        elif self.tasks is None:
            panel = Panel(self.name, tuple(sorted(_whole_split(env, self))))
        else:
            panel = draw(env, self.name, self.seed, self.tasks)
        wanted = self.tasks if isinstance(self.tasks, int) else self.size
        if wanted is not None and len(panel.tasks) != wanted:
            raise InputError(
                f"panel={self.name} has {wanted} tasks, but the data here has {len(panel.tasks)}: "
                f"{env.describe_data()}."
            )
        self._compare("tasks", self.sha256, panel.sha256, env)
        panel = panel.with_content(env)
        self._compare("contents of tasks", self.content_sha256, panel.content_sha256, env)
        return replace(panel, notes=self.record(panel)) if record else panel

    def record(self, panel: Panel) -> tuple[str, ...]:
        """Records hashes that are not yet pinned, or compares them with those of the first use.

        Returns:
            A line that says which, if they are not pinned.

        Raises:
            InputError: the first use had others.
        """
        if NOT_PINNED not in (self.sha256, self.content_sha256):
            return ()
        return (panel_records.hold(panel.name, panel.sha256, panel.content_sha256),)

    def _compare(self, what: str, pinned: str, here: str, env: TextEnv) -> None:
        if pinned not in ("", NOT_PINNED) and here != pinned:
            raise InputError(
                f"panel={self.name} has {what} of sha256 {pinned[:12]}, but those here have {here[:12] or 'none'}: "
                f"{env.describe_data()}. Give the data the panel was made from (data=PATH); for tasks that are made, "
                "the release of Keystone, or of the package that makes them."
            )


def read(name: str) -> FixedPanel:
    """Reads a panel's file.

    Args:
        name: its name in `configs/panel/`.

    Raises:
        InputError: there is no such file, or it lacks something or holds something else.
    """
    return FixedPanel(**vars(read_rule(name)))


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
    *,
    record: bool = True,
) -> tuple[partial[TextEnv], Panel]:
    """Finds the panel of a command, a fixed one or the one that belongs to its seed, and what makes its environments.

    Training and evaluation with the same environment and seed meet on the same panel.

    Args:
        env: the options below the command's key `env`.
        panel: name of a fixed panel, whose options win over those of `env`; or empty to draw one.
        split: the split to draw from.
        seed: the command's seed.
        count: tasks to draw.
        record: as of `FixedPanel.find`.

    Returns:
        What makes an environment in which the tasks can be played (its `keywords` are the options), and the panel.

    Raises:
        InputError: the panel is of another environment, or the tasks are not in the data.
    """
    if not panel:
        make = partial(registry.make, env.name, **(options_of(env) | {"split": split}))
        here = make()
        panel_name = f"{env.name}-{split}-seed{seed}"
        return make, draw(here, panel_name, stream_seed(seed, "panel"), count).with_content(here)
    fixed = read(panel)
    fixed.check_env(env.name)
    options, notes = fixed.options_with(options_of(env))
    make = partial(registry.make, env.name, **options)
    found = fixed.find(make(), record=record)
    return make, replace(found, notes=(*notes, *found.notes))


def sampling_of(panel: str) -> Sampling:
    """The sampling that a fixed panel states; none of it for a drawn one."""
    return read(panel).sampling if panel else Sampling()


def _plain(value: object) -> object:
    """Lists of a file and tuples of a configuration are alike."""
    return list(value) if isinstance(value, tuple) else value


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
