"""Trackers that people already use: each file here sends an arm's figures, iteration by iteration, to one of them.

TensorBoard's event files are always written; the others by option (`trackers=wandb,trackio`). None sends anything
anywhere unless the user's own settings of that tracker ask for it. The file name is the name on the command line. A
module has the name of the package it needs, and one function,

    start(arm: Arm) -> Tracker

Figures are the rows of `metrics.jsonl` as they are, those under `cost` with that word before them ("cost/seconds"). A
resumed run begins at `arm.start`, and what was tracked from there on before is not shown twice.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from envs.config_schema import listed
from envs.errors import InputError, unknown

ALWAYS = ("tensorboard",)


@dataclass(frozen=True)
class Arm:
    """What a tracker is told when an arm's training begins.

    Attributes:
        folder: the run's folder.
        name: the arm.
        start: the iteration that it begins with; more than 0 in a resumed run.
        again: whether figures of this arm were tracked before.
        config: the run's configuration.
    """

    folder: Path
    name: str
    start: int
    again: bool
    config: Mapping[str, Any]

    @property
    def run(self) -> str:
        """What the run is called, by its folder."""
        return self.folder.resolve().name


class Tracker(Protocol):
    """Takes the figures of one arm."""

    def log(self, iteration: int, values: Mapping[str, float]) -> None:
        """Takes an iteration's figures by name, and puts them on disk as far as it can be asked to."""
        ...

    def close(self) -> None:
        """Ends."""
        ...


def names() -> list[str]:
    """All trackers, by file name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def chosen(option: str) -> tuple[str, ...]:
    """The trackers of a run: those that are always there, and those of `trackers=`.

    Args:
        option: names separated by commas.

    Raises:
        InputError: one is not known, or its package is not installed.
    """
    asked = listed(option)
    found = tuple(dict.fromkeys((*ALWAYS, *asked)))
    for name in found:
        if name not in names():
            raise unknown("tracker", name, names())
        package = importlib.import_module(f"{__name__}.{name}").PACKAGE
        if importlib.util.find_spec(package) is None:
            extra = "" if name in ALWAYS else f"[{name}]"
            raise InputError(f"trackers={name} needs {package}: pip install 'keystone-rl{extra}'.")
    return found


class Trackers:
    """All trackers of one arm.

    Args:
        names: which; none in processes that do not write.
        arm: the arm.
    """

    def __init__(self, names: Sequence[str], arm: Arm) -> None:
        self._trackers: list[Tracker] = []
        for name in names:
            self._trackers.append(importlib.import_module(f"{__name__}.{name}").start(arm))

    def log(self, row: Mapping[str, Any]) -> None:
        """Tells all of them a row of `metrics.jsonl`."""
        values = figures(row)
        for tracker in self._trackers:
            tracker.log(int(row["iteration"]), values)

    def close(self) -> None:
        """Closes all of them."""
        for tracker in self._trackers:
            tracker.close()


def figures(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of `metrics.jsonl` by name; those of nested mappings under "outer/inner"."""
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{inner}": number for inner, number in figures(value).items()}
        elif isinstance(value, int | float) and name != "iteration":
            found[name] = float(value)
    return found
