"""The families of games that TextWorld makes, how hard they are, and how a task's name states both.

cooking: find the ingredients of a recipe, prepare and eat the meal (First TextWorld Problems, aka.ms/ftwp).
coin_collector: walk through a chain of rooms, with dead ends at higher levels, to a coin (arXiv 1806.11525).
treasure_hunter: find the right one of two objects in a maze (after arXiv 1702.08360).
simple: leave a locked room, find one food and put it on the stove.

Options have the names of TextWorld's own `tw-make`, except that `objective` is its "goal". A family's options all stand
in the names of its tasks ("coin_collector/level=5/train/17"), so that the name alone brings the game back.

Splits differ as TextWorld's own do: cooking has foods and preparations of its own in each, simple has other foods in
the test split. In all families each split also has random draws of its own; small games such as coin_collector/level=1
may still come out alike. Left out: TextWorld's custom games, and other points in the simple game than its "balanced"
ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from envs.config_schema import check_values, key
from envs.errors import InputError, shortened, unknown

SPLITS = ("train", "valid", "test")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "cooking": ("recipe", "take", "go", "open", "cook", "cut", "drop"),
    "coin_collector": ("level",),
    "treasure_hunter": ("level",),
    "simple": ("objective",),
}
FAMILIES = tuple(_OPTIONS)
_SWITCHES = ("open", "cook", "cut", "drop")
_MOST_LEVEL = {"coin_collector": 300, "treasure_hunter": 30}
_MOST_ROOMS = 100
"""What a .z8 file can hold."""
_OBJECTIVES = ("detailed", "brief", "none")


@dataclass(frozen=True)
class Family:
    """Which games are made."""

    family: str = key("cooking", "which games are made", choices=FAMILIES)
    level: int = key(
        5,
        "coin_collector: the quest takes `level` commands; above 100 and 200 with one or two dead ends a room."
        " treasure_hunter: to 10 five rooms, to 20 ten with closed doors, to 30 twenty with locked ones",
        minimum=1,
        maximum=300,
    )
    recipe: int = key(1, "cooking: ingredients of the recipe", unit="ingredients", minimum=1, maximum=5)
    take: int = key(
        1, "cooking: ingredients to find; the player holds the others", unit="ingredients", minimum=0, maximum=5
    )
    go: int = key(6, "cooking: rooms", unit="rooms", choices=(1, 6, 9, 12))
    open: bool = key(False, "cooking: doors and containers are closed at first")
    cook: bool = key(False, "cooking: ingredients must be fried, roasted or grilled")
    cut: bool = key(False, "cooking: ingredients must be chopped, sliced or diced")
    drop: bool = key(False, "cooking: the player can hold only so many things")
    objective: str = key("detailed", "simple: how the task is worded at the start", choices=_OBJECTIVES)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: a value is not allowed, or set for a family that has no such option.
        """
        check_values(self)
        own = _OPTIONS[self.family]
        for field in fields(Family)[1:]:
            if field.name not in own and getattr(self, field.name) != field.default:
                raise InputError(f"family={self.family} has no option {field.name}. Its options: {', '.join(own)}.")
        most = _MOST_LEVEL.get(self.family)
        if most is not None and self.level > most:
            raise InputError(f"level of family={self.family} should be at most {most}, got {self.level}.")
        if self.family == "cooking" and self.take > self.recipe:
            raise InputError(f"take={self.take} should be at most recipe={self.recipe}.")
        if self.family == "coin_collector" and self.num_rooms > _MOST_ROOMS:
            raise InputError(
                f"level={self.level} of coin_collector has {self.num_rooms} rooms, and games can have {_MOST_ROOMS}."
                " Allowed: 1 to 150 and 201 to 233."
            )

    @property
    def num_rooms(self) -> int:
        """Returns how many rooms a coin_collector game of this level has."""
        return ((self.level - 1) // 100 + 1) * ((self.level - 1) % 100 + 1)

    @property
    def label(self) -> str:
        """Writes the family and its options, as names of tasks state them."""
        stated = []
        for name in _OPTIONS[self.family]:
            value = getattr(self, name)
            if value is True:
                stated.append(name)
            elif value is not False:
                stated.append(f"{name}={value}")
        return f"{self.family}/{','.join(stated)}"


class MadeTask:
    """What the name of a made game says.

    Attributes:
        family: what is made.
        split: train, valid or test.
        number: which game of that kind.
    """

    def __init__(self, name: str) -> None:
        """Reads a name.

        Args:
            name: as `task_name` writes it.

        Raises:
            InputError: it is not the name of a made game.
        """
        parts = name.split("/")
        if len(parts) != 4 or parts[2] not in SPLITS or not _is_number(parts[3]):
            raise InputError(
                f"unknown task {shortened(name)!r}: made games are named FAMILY/OPTIONS/SPLIT/NUMBER, such as"
                " coin_collector/level=5/train/17."
            )
        self.family = _read_label("/".join(parts[:2]))
        self.split = parts[2]
        self.number = int(parts[3])

    def seeds(self, attempt: int) -> dict[str, int]:
        """Returns TextWorld's seeds for the game.

        Args:
            attempt: how often the making has failed before.
        """
        draw = np.random.default_rng([self.number, zlib.crc32(self.split.encode()), attempt])
        return {name: int(draw.integers(2**31)) for name in ("map", "objects", "quest", "grammar")}

    def settings(self) -> dict[str, Any]:
        """Returns the settings of TextWorld's challenge."""
        settings = {name: getattr(self.family, name) for name in _OPTIONS[self.family.family]}
        if self.family.family == "cooking":
            settings |= {"split": self.split, "recipe_seed": 0}
        if self.family.family == "simple":
            settings = {"goal": settings["objective"], "rewards": "balanced", "test": self.split == "test"}
        return settings


def task_name(family: Family, split: str, number: int) -> str:
    """Writes the name of a made game.

    Args:
        family: what is made.
        split: train, valid or test.
        number: which game of that kind, 0 or more.
    """
    return f"{family.label}/{split}/{number}"


def is_made(name: str) -> bool:
    """Returns whether a task's name is meant as that of a made game."""
    return name.partition("/")[0] in FAMILIES


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and text == str(int(text))


def _read_label(label: str) -> Family:
    family, _, stated = label.partition("/")
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    values: dict[str, object] = {"family": family}
    for part in filter(None, stated.split(",")):
        name, given, text = part.partition("=")
        if name not in _OPTIONS[family]:
            raise unknown(f"option of family={family}:", name, _OPTIONS[family])
        if bool(given) == (name in _SWITCHES):
            wanted = name if given else f"{name}=VALUE"
            raise InputError(f"the option {shortened(part)!r} in a task's name should be written {wanted!r}.")
        try:
            values[name] = True if name in _SWITCHES else text if name == "objective" else int(text)
        except ValueError:
            raise InputError(f"{shortened(part)!r} should be {name}=NUMBER in a task's name.") from None
    made = Family(**values)  # type: ignore[arg-type]
    if made.label != label:
        raise InputError(f"the options {shortened(label)!r} of a task are written {made.label!r}.")
    return made
