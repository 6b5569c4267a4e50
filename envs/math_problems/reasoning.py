"""The families of reasoning-gym (Stojanovski et al., arXiv 2505.24760), an extra, as a source of problems.

A problem is made by its family from a seed, at the difficulty that the family's own curriculum gives a level. Answers
are scored by the family. Some families evaluate answers as Python; answers that hold more than values and mathematical
functions are therefore refused unread, and all scoring happens in a process that can be killed. Left out: families
that know no answer to some of their problems, and those that cannot be repeated, start or end in time.
"""

from __future__ import annotations

import importlib.util
import inspect
import random
import re
import sys
from functools import lru_cache
from typing import Any

from envs.errors import InputError, MissingExtraError, unknown
from envs.math_problems.problems import Problem, split_of
from envs.verifiers import Verdict, processes
from envs.verifiers.math_answer.extraction import final_answer

DEFAULT_FAMILIES = ("basic_arithmetic", "chain_sum", "gcd", "lcm", "leg_counting", "products", "simple_equations")
_NO_ANSWER = {"boxnet", "composite", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
# Curricula that begin where no problem can be made.
_BROKEN = {"knight_swap", "modulo_grid"}
# They draw from sets of texts, whose order differs between processes.
_UNREPEATABLE = {"isomorphic_strings", "polynomial_multiplication", "ransom_note", "word_ladder"}
# Some problems take minutes.
_SLOW = {"sokoban"}
LEFT_OUT = frozenset(_NO_ANSWER | _BROKEN | _UNREPEATABLE | _SLOW)
_NAME = re.compile(r"(train|valid|test)-([a-z0-9_]+)-([1-5])-(\d{1,10})")
_MOST_TRIES = 500
_MOST_CHARACTERS = 4000
_EVALUATES = re.compile(r"\b(?:eval|exec|parse_expr|sympify|Poly|solve|simplify)\(")
_NAMES = "sin cos tan sec csc cot asin acos atan sinh cosh tanh exp log ln sqrt Abs abs pi"
_FUNCTIONS = frozenset(_NAMES.split())


class ReasoningGym:
    """Problems of reasoning-gym."""

    def __init__(self, split: str, families: tuple[str, ...], level: int) -> None:
        """Chooses the families.

        Args:
            split: train, valid or test.
            families: names of reasoning-gym's families; `DEFAULT_FAMILIES` if empty.
            level: 1 to 5; 1 is where a family's curriculum begins.

        Raises:
            MissingExtraError: the package is not installed.
            InputError: there is no such family.
        """
        if importlib.util.find_spec("reasoning_gym") is None:
            raise MissingExtraError(
                "the families of reasoning-gym need the package of that name (it is built by a C compiler):"
                " pip install 'keystone-rl[reasoning-gym]'"
            )
        self._split = split
        self._level = level
        self._families = families or DEFAULT_FAMILIES
        for family in self._families:
            _check_family(family)

    def sample(self, seed: int, count: int) -> list[str]:
        """Draws names of problems."""
        draw = random.Random(f"{seed} {self._split}")
        return [
            f"{self._split}-{draw.choice(self._families)}-{self._level}-{draw.randrange(10**9)}" for _ in range(count)
        ]

    def problem(self, name: str) -> Problem:
        """Makes the problem of that name.

        Raises:
            InputError: it is no name of such a problem.
        """
        family, _, _, entry = _entry_of(name)
        answer = str(entry["answer"])
        solution = f"\\boxed{{{answer}}}" if "\n" not in answer and "{" not in answer else answer
        return Problem(entry["question"].strip(), answer, solution, family)

    def verify(self, answer: str, name: str) -> Verdict:
        """Has the family score an answer: right is a full score."""
        text = _answer_in(answer)
        if not text:
            return Verdict(0.0, False, "the answer is empty")
        if len(text) > _MOST_CHARACTERS:
            return Verdict(0.0, False, f"the answer is longer than {_MOST_CHARACTERS:,} characters")
        try:
            family, level, seed, _ = _entry_of(name)
            score = float(processes.call("envs.math_problems.reasoning:score", text, family, level, seed))
        except processes.FailedCallError as error:
            return Verdict(0.0, False, str(error))
        return Verdict(score, score > 0.99, f"the family's score is {score:g}")

    def describe(self) -> str:
        """Says which problems are made."""
        return f"reasoning-gym at level {self._level}, {self._split}: {', '.join(self._families)}"

    def characters(self) -> str:
        """Returns the characters beyond ASCII that its families use."""
        return "".join(
            map(
                chr,
                (
                    *range(0xA0, 0x180),
                    *range(0x2000, 0x2C00),
                    *range(0x1F300, 0x1FB00),
                    *range(0xFE00, 0xFE10),
                    *range(0xE0100, 0xE01F0),
                ),
            )
        )


def score(answer: str, family: str, level: int, seed: int) -> float:
    """Scores an answer by its family. May take any time: for `processes.call` only.

    Args:
        answer: the answer alone.
        family: the problem's family.
        level: its level.
        seed: its seed.

    Returns:
        From 0 to 1.
    """
    dataset = _dataset(family, level, seed)
    module = sys.modules[type(dataset).__module__]
    if _EVALUATES.search(inspect.getsource(module)) and not harmless(answer):
        return 0.0
    return min(1.0, max(0.0, float(dataset.score_answer(answer, dataset[0]))))


def harmless(answer: str) -> bool:
    """Whether an answer, evaluated as Python, can only be values and mathematical functions of values."""
    if "__" in answer or "lambda" in answer or re.search(r"[A-Za-z_\])\"'}]\s*\.\s*[A-Za-z_]|[@`;=\\]", answer):
        return False
    return all(name in _FUNCTIONS for name in re.findall(r"([A-Za-z_]\w*)\s*\(", answer)) and not re.search(
        r"[\])\"'}]\s*\(", answer.replace(")(", ")*(")
    )


def _answer_in(reply: str) -> str:
    """Returns what is in the last box or behind the last `####`, else the whole reply."""
    found = final_answer(reply) if "\\boxed" in reply else None
    if found is not None and found.formula:
        return found.text
    return reply.rpartition("####")[2].strip()


def _check_family(family: str) -> None:
    from reasoning_gym.factory import DATASETS

    allowed = [name for name in DATASETS if name not in LEFT_OUT]
    if family not in allowed:
        raise unknown("family of reasoning-gym", family, allowed)


@lru_cache(maxsize=256)
def _entry_of(name: str) -> tuple[str, int, int, dict[str, Any]]:
    """Returns a problem's family, level, seed and what reasoning-gym knows of it."""
    found = _NAME.fullmatch(name)
    if not found:
        raise InputError(f"there is no problem {name!r} of reasoning-gym; names look like train-chain_sum-1-12345.")
    split, family, level, number = found[1], found[2], int(found[3]), found[4]
    _check_family(family)
    for attempt in range(_MOST_TRIES):
        seed = random.Random(f"{split} {number} {attempt}").randrange(2**31)
        entry: dict[str, Any] = _dataset(family, level, seed)[0]
        if split_of(entry["question"]) == split:
            return family, level, seed, entry
    raise InputError(f"the family {family!r} has no problem of level {level} in the split {split!r}.")


def _dataset(family: str, level: int, seed: int) -> Any:  # noqa: ANN401 - reasoning-gym has no types
    from reasoning_gym.factory import CURRICULA, DATASETS, create_curriculum, create_dataset

    if family not in CURRICULA:
        return create_dataset(family, seed=seed, size=1)
    curriculum = create_curriculum(family)
    for name, attribute in curriculum.attributes.items():
        curriculum.set_attr_level(name, min(level - 1, len(attribute.levels) - 1))
    config = curriculum.generate_configuration({"seed": seed, "size": 1})
    return DATASETS[family][0](config=config)
