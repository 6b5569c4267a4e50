"""The files in `configs/panel/`: what they say, checked; `evals.panels` says what it means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from envs import presets
from envs.errors import InputError, shortened, unknown
from envs.registry import config_class

ALL = "all"
NOT_PINNED = "not yet pinned"
_KEYS = ("env", "data", "options", "tasks", "size", "seed", "turns", "sampling", "sha256", "content_sha256")
_SAMPLING_KEYS = ("temperatures", "seeds")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Sampling:
    """How a panel is meant to be sampled; empty where it does not say.

    Attributes:
        temperatures: of a model.
        seeds: of its draws.
    """

    temperatures: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rule:
    """What a file in `configs/panel/` says.

    Attributes:
        name: the file's name.
        env: name of the environment.
        options: options of the environment that the tasks need; they win over the run's own.
        tasks: number of tasks to draw, or their names; None takes the whole split.
        seed: keys the draw.
        sha256: the hash that the task names must have; empty if any will do, `NOT_PINNED` if that of the first use.
        content_sha256: the same of what stands behind the names.
        data: where the data is, unless a command says otherwise.
        size: how many tasks the whole split must have; None if any number will do.
        turns: the environment's `max_turns`, unless a command says otherwise; None leaves it to the environment.
        sampling: how a model is sampled, unless a command says otherwise.
    """

    name: str
    env: str
    options: dict[str, Any] = field(default_factory=dict)
    tasks: int | tuple[str, ...] | None = None
    seed: int = 0
    sha256: str = ""
    content_sha256: str = ""
    data: str = ""
    size: int | None = None
    turns: int | None = None
    sampling: Sampling = field(default_factory=Sampling)


def read(name: str) -> Rule:
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
    _check(name, content)
    sampling = content.get("sampling") or {}
    tasks = content["tasks"]
    return Rule(
        name=name,
        env=content["env"],
        options=content.get("options") or {},
        tasks=None if tasks == ALL else tuple(tasks) if isinstance(tasks, list) else tasks,
        seed=content.get("seed", 0),
        sha256=content.get("sha256", ""),
        content_sha256=content.get("content_sha256", ""),
        data=content.get("data", ""),
        size=content.get("size"),
        turns=content.get("turns"),
        sampling=Sampling(tuple(map(float, sampling.get("temperatures", ()))), tuple(sampling.get("seeds", ()))),
    )


def world_words(words: Sequence[str]) -> list[str]:
    """The argument `env=NAME` that a fixed panel stands for, where a command's arguments name a panel and no world.

    Raises:
        InputError: the panel's file lacks something or holds something else, or turns are typed that it replaces.
    """
    given = dict(word.partition("=")[::2] for word in words)
    if given.get("panel") not in presets.names("panel"):
        return []
    rule = read(given["panel"])
    _check_turns(rule, given.get("env.max_turns"))
    return [] if given.keys() & {"env", "config"} else [f"env={rule.env}"]


def _check_turns(rule: Rule, typed: str | None) -> None:
    """A configuration does not tell a world's default that was typed from one that was not, which a panel replaces.

    Raises:
        InputError: the default was typed, and the panel has other turns.
    """
    usual = next((option.default for option in fields(config_class(rule.env)) if option.name == "max_turns"), None)
    if typed is not None and rule.turns not in (None, usual) and typed == str(usual):
        raise InputError(
            f"env.max_turns={typed} is what env={rule.env} has by itself, which panel={rule.name} replaces by its own "
            f"{rule.turns} turns. Another number can be played; leave it out for {rule.turns}."
        )


def _check(name: str, content: dict[str, Any]) -> None:
    tasks, sampling = content.get("tasks"), content.get("sampling") or {}
    options = content.get("options") or {}
    hashes = "64 hexadecimal digits, or: not yet pinned"
    checks = (
        ("env", "an environment's name", isinstance(content.get("env"), str) and content["env"] != ""),
        ("data", "a path or the name of a data set", isinstance(content.get("data", ""), str)),
        ("options", "a mapping", isinstance(options, dict)),
        ("tasks", "a number of at least 1, or all", tasks == ALL or _is_count(tasks) or _are_names(tasks)),
        ("size", "a number of at least 1", "size" not in content or _is_count(content["size"])),
        ("seed", "a whole number of at least 0", _is_whole(content.get("seed", 0))),
        ("turns", "a number of at least 1", "turns" not in content or _is_count(content["turns"])),
        ("sampling", f"a mapping of {' and '.join(_SAMPLING_KEYS)}", _is_sampling(sampling)),
        ("sha256", hashes, _is_hash(content.get("sha256", ""))),
        ("content_sha256", hashes, _is_hash(content.get("content_sha256", ""))),
    )
    for given, allowed, valid in checks:
        if not valid:
            raise InputError(
                f"configs/panel/{name}.yaml: {given} must be {allowed}, got {shortened(repr(content.get(given)))}."
            )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_count(value: object) -> bool:
    return _is_whole(value) and value != 0


def _are_names(value: object) -> bool:
    names = value if isinstance(value, list) else []
    return bool(names) and all(isinstance(each, str) and each for each in names) and len(set(names)) == len(names)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and (value in ("", NOT_PINNED) or _HASH.fullmatch(value) is not None)


def _is_sampling(value: object) -> bool:
    if not isinstance(value, dict) or not set(value) <= set(_SAMPLING_KEYS):
        return False
    temperatures, seeds = value.get("temperatures", []), value.get("seeds", [])
    if not isinstance(temperatures, list) or not isinstance(seeds, list):
        return False
    warm = (isinstance(each, int | float) and 0 <= each < float("inf") for each in temperatures)
    return all(warm) and all(_is_whole(each) for each in seeds)
