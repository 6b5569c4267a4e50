"""How hard generated games are: the options, and how a task's name states them.

The defaults are the real train games' own measure. Options that differ from them stand in the name of every task that
was made with them ("generated/train/clutter=2,distractors=5/12345"), so that the name alone brings the game back. Each
change has random draws of its own: game 12345 with more clutter is game 12345 with further objects in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from envs.alfworld.sentences import SENTENCES
from envs.config_schema import check_values, key, names_in
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
        check_values(self)
        given = names_in(self.task_types)
        for name in given:
            if name not in SENTENCES:
                raise unknown("task type", name, SENTENCES)
        chosen = tuple(name for name in SENTENCES if name in given)
        object.__setattr__(self, "task_types", () if len(chosen) == len(SENTENCES) else chosen)

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
