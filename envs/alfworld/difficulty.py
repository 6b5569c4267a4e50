"""How hard generated games are: the options, and how a task's name states them.

The defaults are the real train games' own measure. Options that differ from them stand in the name of every task that
was made with them ("generated/train/clutter=2,distractors=5/12345"), so that the name alone brings the game back. Each
change has random draws of its own: game 12345 with more clutter is game 12345 with further objects in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import cast

from envs.alfworld.sentences import SENTENCES
from envs.config_schema import key
from envs.errors import InputError, shortened, unknown

MOST_CLUTTER = 10.0
MOST_DISTRACTORS = 100


@dataclass(frozen=True)
class Difficulty:
    """Options of generated games."""

    task_types: tuple[str, ...] = key(
        (), f"task types of generated games, such as {next(iter(SENTENCES))}; none stands for all"
    )
    clutter: float = key(
        1.0,
        "generated games: factor on the number of movable objects that no task needs",
        minimum=0,
        maximum=MOST_CLUTTER,
    )
    receptacles: float = key(
        1.0,
        "generated games: share of a room's receptacles that stay; those the task needs always do",
        minimum=0,
        maximum=1,
    )
    distractors: int = key(
        0,
        "generated games: further objects that could be taken for the one asked for, lying where it might lie",
        unit="objects",
        minimum=0,
        maximum=MOST_DISTRACTORS,
    )

    def __post_init__(self) -> None:
        """Checks the values and puts the task types in their published order.

        Raises:
            InputError: a value is not allowed.
        """
        one_or_more = cast("str | tuple[str, ...]", self.task_types)
        given = (one_or_more,) if isinstance(one_or_more, str) else tuple(one_or_more)
        for name in given:
            if name not in SENTENCES:
                raise unknown("task type", str(name), SENTENCES)
        chosen = tuple(name for name in SENTENCES if name in given)
        object.__setattr__(self, "task_types", () if len(chosen) == len(SENTENCES) else chosen)
        for name, most in (("clutter", MOST_CLUTTER), ("receptacles", 1.0), ("distractors", MOST_DISTRACTORS)):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= most):
                raise InputError(f"{name} should be a number from 0 to {most:g}, got {value}.")
        if not isinstance(self.distractors, int):
            raise InputError(f"distractors should be a whole number, got {self.distractors}.")

    @property
    def label(self) -> str:
        """Writes the options that differ from the defaults, as names of tasks state them; "" if none does."""
        stated = []
        for field in fields(Difficulty):
            value = getattr(self, field.name)
            if value != field.default:
                text = "+".join(value) if isinstance(value, tuple) else repr(value).removesuffix(".0")
                stated.append(f"{field.name}={text}")
        return ",".join(stated)


AS_REAL = Difficulty()
"""As the real train games are."""


def read_label(label: str) -> Difficulty:
    """Reads what `Difficulty.label` writes.

    Args:
        label: the part of a task's name that states options.

    Raises:
        InputError: it is none, or states options in another way than `label` writes them.
    """
    values: dict[str, object] = {}
    for part in label.split(","):
        name, _, text = part.partition("=")
        try:
            values[name] = _READERS[name](text)
        except (KeyError, ValueError):
            raise InputError(
                f"{shortened(part)!r} is no option of generated games. Allowed: {', '.join(_READERS)}."
            ) from None
    difficulty = Difficulty(**values)  # type: ignore[arg-type]
    if difficulty.label != label:
        raise InputError(f"the options {shortened(label)!r} of a generated task are written {difficulty.label!r}.")
    return difficulty


_READERS: Mapping[str, Callable[[str], object]] = {
    "task_types": lambda text: tuple(text.split("+")),
    "clutter": float,
    "receptacles": float,
    "distractors": int,
}
