"""What a source of problems gives, and how splits are cut where a source has none of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from envs.drawing import split_of_tenth
from envs.verifiers import Verdict

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        question: what is asked.
        answer: the right answer alone.
        solution: the way to it, ending in the answer; "" if none is known.
        family: the kind of problem.
        calculations: what a calculator is needed for on that way, in order.
    """

    question: str
    answer: str
    solution: str
    family: str
    calculations: tuple[str, ...] = ()


class Source(Protocol):
    """Problems of one split."""

    def sample(self, seed: int, count: int) -> list[str]:
        """Draws names of problems: a pure function, a longer draw starts with a shorter one."""
        ...

    def problem(self, name: str) -> Problem:
        """Returns the problem of that name. Raises `InputError` if there is none."""
        ...

    def verify(self, answer: str, name: str) -> Verdict:
        """Says whether an answer to the problem of that name is right."""
        ...

    def describe(self) -> str:
        """Says in one line which problems these are."""
        ...

    def characters(self) -> str:
        """Returns all characters beyond ASCII that problems hold."""
        ...


def split_of(question: str) -> str:
    """Gives each question a split by its hash: a tenth to valid, a tenth to test, the rest to train.

    Equal questions are in equal splits, so no split holds a question of another one.
    """
    tenth = hashlib.sha256(" ".join(question.split()).encode()).digest()[0] * 10 // 256
    return split_of_tenth(tenth)
