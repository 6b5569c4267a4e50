"""Endless arithmetic and word problems with worked solutions, made from a name.

A problem is a pure function of its name: split, family, level and a number. Each question belongs to one split by its
hash (`problems.split_of`), so that small families, such as sums of two digits, share no question between splits
either. Solutions write every step down and end in `#### answer`, the form of GSM8K.
"""

from __future__ import annotations

import random
import re

from envs.errors import InputError, unknown
from envs.math_problems.families import FAMILIES
from envs.math_problems.problems import Problem, split_of
from envs.verifiers import Verdict
from envs.verifiers.math_answer import verify

LEVELS = (1, 2, 3, 4, 5)
_NAME = re.compile(r"(train|valid|test)-([a-z]+)-(\d)-(\d{1,10})")
_MOST_TRIES = 2000


class Generator:
    """Problems of our own."""

    def __init__(self, split: str, families: tuple[str, ...], level: int) -> None:
        """Chooses what is made.

        Args:
            split: train, valid or test.
            families: names of `FAMILIES`; all that the level has if empty.
            level: 1 to 5.

        Raises:
            InputError: there is no such family.
        """
        for family in families:
            if family not in FAMILIES:
                raise unknown("family of problems", family, FAMILIES)
        if level not in LEVELS:
            raise InputError(f"level of generated problems should be 1 to {LEVELS[-1]}, got {level}.")
        self._split = split
        self._level = level
        self._families = families or tuple(name for name, family in FAMILIES.items() if family.level <= level)

    def sample(self, seed: int, count: int) -> list[str]:
        """Draws names of problems."""
        draw = random.Random(f"{seed} {self._split}")
        return [
            f"{self._split}-{draw.choice(self._families)}-{self._level}-{draw.randrange(10**9)}" for _ in range(count)
        ]

    def problem(self, name: str) -> Problem:
        """Makes the problem of that name.

        Raises:
            InputError: it is no name of a generated problem.
        """
        found = _NAME.fullmatch(name)
        if not found or found[2] not in FAMILIES or int(found[3]) not in LEVELS:
            raise InputError(f"there is no generated problem {name!r}; names look like train-addition-2-12345.")
        split, family, level = found[1], found[2], int(found[3])
        for number in range(_MOST_TRIES):
            made = FAMILIES[family].make(random.Random(f"{split} {family} {level} {found[4]} {number}"), level)
            if split_of(made.question) == split:
                return Problem(made.question, made.answer, made.solution, family, made.calculations)
        raise InputError(f"the family {family!r} has no problem of level {level} in the split {split!r}.")

    def verify(self, answer: str, name: str) -> Verdict:
        """Compares an answer with the right one."""
        return verify(answer, self.problem(name).answer)

    def describe(self) -> str:
        """Says which problems are made."""
        return f"generated problems of level {self._level}, {self._split}: {', '.join(self._families)}"

    def characters(self) -> str:
        """Returns nothing: all is ASCII."""
        return ""
