"""ScienceWorld's thirty tasks, their variations, and which split a variation belongs to.

Numbers of variations are those of the package's release 1.2.3, and the split is its own rule: of a task's variations in
order the first half trains, the third quarter is for development and the rest for testing. A task is named by the kind,
the simplifications if there are any, and the variation: "boil/12", "boil/openDoors+teleportAction/12", "boil/easy/12".

Draws go through the kinds in turn, so that the kind with 1,386 variations does not outweigh those with ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import NamedTuple

import numpy as np

from envs.drawing import check_draw, key_of
from envs.errors import InputError, shortened, unknown

SPLITS = ("train", "dev", "test")
VARIATIONS = {
    "boil": 30,
    "change-the-state-of-matter-of": 30,
    "chemistry-mix": 32,
    "chemistry-mix-paint-secondary-color": 36,
    "chemistry-mix-paint-tertiary-color": 36,
    "find-animal": 300,
    "find-living-thing": 300,
    "find-non-living-thing": 300,
    "find-plant": 300,
    "freeze": 30,
    "grow-fruit": 126,
    "grow-plant": 126,
    "identify-life-stages-1": 14,
    "identify-life-stages-2": 10,
    "inclined-plane-determine-angle": 168,
    "inclined-plane-friction-named-surfaces": 1386,
    "inclined-plane-friction-unnamed-surfaces": 162,
    "lifespan-longest-lived": 125,
    "lifespan-longest-lived-then-shortest-lived": 125,
    "lifespan-shortest-lived": 125,
    "measure-melting-point-known-substance": 436,
    "measure-melting-point-unknown-substance": 300,
    "melt": 30,
    "mendelian-genetics-known-plant": 120,
    "mendelian-genetics-unknown-plant": 480,
    "power-component": 20,
    "power-component-renewable-vs-nonrenewable-energy": 20,
    "test-conductivity": 900,
    "test-conductivity-of-unknown-substances": 600,
    "use-thermometer": 540,
}
SIMPLIFICATIONS = ("noElectricalAction", "openContainers", "openDoors", "selfWateringFlowerPots", "teleportAction")
ALL_SIMPLIFICATIONS = "easy"
_ELECTRICAL = ("power-component", "conductivity")


class Task(NamedTuple):
    """One task.

    Attributes:
        kind: a name of `VARIATIONS`.
        simplifications: names of `SIMPLIFICATIONS` in their order, or "easy" alone, which stands for all.
        variation: which of the kind.
    """

    kind: str
    simplifications: tuple[str, ...]
    variation: int

    @property
    def name(self) -> str:
        """Writes the task's name."""
        return "/".join(filter(None, (self.kind, "+".join(self.simplifications), str(self.variation))))


def read_task(name: str) -> Task:
    """Reads a task's name.

    Raises:
        InputError: there is no such task.
    """
    kind, *stated, variation = name.split("/") if name.count("/") in (1, 2) else ("", "")
    if not kind:
        raise InputError(f"unknown task {shortened(name)!r}. Tasks are named KIND/VARIATION, such as boil/12.")
    check_kinds((kind,))
    simplifications = tuple(stated[0].split("+")) if stated else ()
    numbers = VARIATIONS[kind]
    if not (variation.isascii() and variation.isdigit() and variation == str(int(variation[:9]))):
        raise InputError(f"unknown task {shortened(name)!r}: {shortened(variation)!r} is no number of a variation.")
    if int(variation) >= numbers:
        raise InputError(f"unknown task {shortened(name)!r}: {kind} has variations 0 to {numbers - 1}.")
    task = Task(kind, ordered_simplifications(simplifications, (kind,)), int(variation))
    if task.name != name:
        raise InputError(f"unknown task {shortened(name)!r}; it is written {task.name!r}.")
    return task


def check_kinds(kinds: Sequence[str]) -> None:
    """Makes sure that all are kinds of tasks.

    Raises:
        InputError: one is not.
    """
    for kind in kinds:
        if kind not in VARIATIONS:
            raise unknown("ScienceWorld task", kind, VARIATIONS)


def ordered_simplifications(given: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    """Puts simplifications into their order.

    Args:
        given: names.
        kinds: the tasks to be simplified.

    Raises:
        InputError: there is no such simplification, or a task cannot be solved with it.
    """
    for name in given:
        if name not in (*SIMPLIFICATIONS, ALL_SIMPLIFICATIONS):
            raise unknown("simplification", name, (*SIMPLIFICATIONS, ALL_SIMPLIFICATIONS))
    if ALL_SIMPLIFICATIONS in given:
        return (ALL_SIMPLIFICATIONS,)
    electrical = [kind for kind in kinds if any(part in kind for part in _ELECTRICAL)]
    if "noElectricalAction" in given and electrical:
        raise InputError(f"the task {electrical[0]} needs electrical actions: leave noElectricalAction out.")
    return tuple(name for name in SIMPLIFICATIONS if name in given)


def variations(kind: str, split: str) -> range:
    """Returns the variations of a kind that belong to a split, by the package's rule for kinds with five or more."""
    quarter = VARIATIONS[kind] // 4
    ends = {"train": (0, 2 * quarter), "dev": (2 * quarter, 3 * quarter), "test": (3 * quarter, VARIATIONS[kind])}
    return range(*ends[split])


def sample(kinds: Sequence[str], simplifications: tuple[str, ...], split: str, seed: int, num_tasks: int) -> list[str]:
    """Draws tasks; see `envs.types.TextEnv.sample_tasks`.

    Raises:
        InputError: the seed or the number is negative.
    """
    check_draw(seed, num_tasks)
    drawn = _passes(kinds, split, key_of(seed, split))
    return [Task(kind, simplifications, variation).name for kind, variation in islice(drawn, num_tasks)]


def _passes(kinds: Sequence[str], split: str, key: list[int]) -> Iterator[tuple[str, int]]:
    """Yields all tasks of the split, kind by kind in turn, pass after pass without end."""
    for number in count():
        draw = np.random.default_rng([*key, number])
        orders = {kind: draw.permutation(variations(kind, split)) for kind in kinds}
        for turn in range(max(map(len, orders.values()))):
            for position in draw.permutation(len(kinds)):
                order = orders[kinds[position]]
                if turn < len(order):
                    yield kinds[position], int(order[turn])
