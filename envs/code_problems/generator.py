"""Small programming problems made from a seed: a chain of simple operations in words, to be written as a function.

Difficulty 1 is one operation on a number, a one-line function that a tiny model can learn; 2 chains two to four. From
3 on lists come in, from 4 on texts, and chains grow longer. A problem's split follows from a hash of what it asks, so
no two splits share a problem, whatever the function is called. A task's name holds all that it is made from.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from envs.code_problems.problems import Problem
from envs.drawing import split_of_tenth
from envs.errors import InputError

DIFFICULTIES = (1, 2, 3, 4, 5)
NUM_TESTS = 8
_NAME = re.compile(r"generated/(train|valid|test)-([1-5])-(\d{1,12})")
_FUNCTIONS = ("f", "g", "solve", "compute", "convert", "process", "change", "answer")
_WORDS = ("apple", "river", "stone", "cloud", "green", "paper", "seven", "light", "music", "bread", "noon", "level")
_LETTERS = "aeilnorst"


class Operation(NamedTuple):
    """One link of a chain.

    In its words and code "{v}" is the value so far, "{e}" the same where it needs no brackets, "{c}" a number, "{k}"
    a small number and "{d}" a letter.

    Attributes:
        takes: the kind of value it works on.
        gives: the kind of its result.
        words: what it does.
        code: an expression for it.
    """

    takes: str
    gives: str
    words: str
    code: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What a difficulty means.

    Attributes:
        kinds: kinds of value that chains begin with.
        lengths: how long chains are.
        largest: numbers in operations go from 2 to this.
    """

    kinds: tuple[str, ...]
    lengths: tuple[int, ...]
    largest: int


SHAPES = {
    1: Shape(("number",), (1,), 99),
    2: Shape(("number",), (2, 3, 4), 20),
    3: Shape(("numbers",), (1, 2), 9),
    4: Shape(("numbers", "text"), (2, 3), 9),
    5: Shape(("numbers", "text"), (3, 4), 9),
}


class Chain(NamedTuple):
    """A chain of operations.

    Attributes:
        kind: the kind of value it begins with.
        words: its operations in words.
        code: all of it as one expression.
        statements: all of it as a function's body, one statement an operation.
    """

    kind: str
    words: list[str]
    code: str
    statements: list[str]


_PARAMETERS = {"number": "x", "numbers": "numbers", "text": "text"}
OPERATIONS = (
    Operation("number", "number", "add {c}", "{v} + {c}"),
    Operation("number", "number", "subtract {c}", "{v} - {c}"),
    Operation("number", "number", "subtract it from {c}", "{c} - {v}"),
    Operation("number", "number", "multiply it by {c}", "{v} * {c}"),
    Operation("number", "number", "divide it by {c}, rounding down", "{v} // {c}"),
    Operation("number", "number", "take the remainder of dividing it by {c}", "{v} % {c}"),
    Operation("number", "number", "take the larger of it and {c}", "max({e}, {c})"),
    Operation("number", "number", "take the smaller of it and {c}", "min({e}, {c})"),
    Operation("numbers", "numbers", "add {c} to each", "[n + {c} for n in {e}]"),
    Operation("numbers", "numbers", "multiply each by {c}", "[n * {c} for n in {e}]"),
    Operation("numbers", "numbers", "take the remainder of dividing each by {c}", "[n % {c} for n in {e}]"),
    Operation("numbers", "numbers", "keep those greater than {c}", "[n for n in {e} if n > {c}]"),
    Operation("numbers", "numbers", "keep those less than {c}", "[n for n in {e} if n < {c}]"),
    Operation("numbers", "numbers", "keep those that {c} divides", "[n for n in {e} if n % {c} == 0]"),
    Operation("numbers", "numbers", "keep the first {k}", "{v}[:{k}]"),
    Operation("numbers", "numbers", "reverse their order", "{v}[::-1]"),
    Operation("numbers", "numbers", "sort them", "sorted({e})"),
    Operation("numbers", "numbers", "drop repeated ones, keeping the first of each", "list(dict.fromkeys({e}))"),
    Operation("numbers", "number", "add them up", "sum({e})"),
    Operation("numbers", "number", "count them", "len({e})"),
    Operation("numbers", "number", "take the largest, or {c} if there is none", "max({e}, default={c})"),
    Operation("numbers", "number", "take the smallest, or {c} if there is none", "min({e}, default={c})"),
    Operation("text", "text", "reverse it", "{v}[::-1]"),
    Operation("text", "text", "write it in capitals", "{v}.upper()"),
    Operation("text", "text", "remove every {d!r}", "{v}.replace({d!r}, '')"),
    Operation("text", "text", "double every {d!r}", "{v}.replace({d!r}, {d!r} * 2)"),
    Operation("text", "text", "keep the first {k} characters", "{v}[:{k}]"),
    Operation("text", "text", "keep one character of every {k}, beginning with the first", "{v}[::{k}]"),
    Operation("text", "number", "count how often {d!r} is in it", "{v}.count({d!r})"),
    Operation("text", "number", "count its characters", "len({e})"),
    Operation("text", "numbers", "take the lengths of its words", "[len(word) for word in {v}.split()]"),
)


def task_name(split: str, difficulty: int, index: int) -> str:
    """Returns the name of a problem."""
    return f"generated/{split}-{difficulty}-{index}"


def generate(name: str, public_tests: int) -> Problem:
    """Makes the problem of a name.

    Args:
        name: what `task_name` returns.
        public_tests: how many of its tests are shown.

    Raises:
        InputError: there is no problem of that name.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise InputError(
            f"there is no programming problem {name!r}. Generated ones are named like generated/train-2-17."
        )
    split, difficulty = found[1], int(found[2])
    draw = random.Random(name)
    while True:
        chain = _chain(draw, SHAPES[difficulty])
        if _split_of(chain) == split:
            inputs = _inputs(draw, chain.kind)
            outputs = [_evaluate(chain, value) for value in inputs]
            # A function that always says the same, or nothing new, would be right by chance.
            if len(set(map(repr, outputs))) > 2 and outputs != inputs:
                return _problem(name, draw, chain, list(zip(inputs, outputs, strict=True)), public_tests)


def _chain(draw: random.Random, shape: Shape) -> Chain:
    kind = now = draw.choice(shape.kinds)
    words: list[str] = []
    statements: list[str] = []
    code = _PARAMETERS[kind]
    for _ in range(draw.choice(shape.lengths)):
        operation = draw.choice([operation for operation in OPERATIONS if operation.takes == now])
        drawn = {"c": draw.randint(2, shape.largest), "k": draw.randint(2, 4), "d": draw.choice(_LETTERS)}
        words.append(operation.words.format(**drawn))
        value = f"({code})" if operation.takes == "number" and words[1:] else code
        code = operation.code.format(v=value, e=code, **drawn)
        step = operation.code.format(v=_PARAMETERS[now], e=_PARAMETERS[now], **drawn)
        statements.append(f"{_PARAMETERS[operation.gives]} = {step}")
        now = operation.gives
    statements[-1] = "return " + statements[-1].split(" = ", 1)[1]
    return Chain(kind, words, code, statements)


def _split_of(chain: Chain) -> str:
    tenth = int(hashlib.sha256(f"{chain.kind} {chain.code}".encode()).hexdigest(), 16) % 10
    return split_of_tenth(tenth)


def _inputs(draw: random.Random, kind: str) -> list[Any]:
    """Draws different values to call a function with, the extreme ones last."""
    if kind == "number":
        return [*draw.sample(range(1, 40), NUM_TESTS - 3), draw.randint(100, 999), draw.randint(-40, -1), 0]
    if kind == "numbers":
        lists = [[draw.randint(-9, 20) for _ in range(draw.randint(3, 6))] for _ in range(NUM_TESTS - 2)]
        return [*lists, [draw.randint(1, 9)] * 3, []]
    texts = [" ".join(draw.sample(_WORDS, draw.randint(1, 3))) for _ in range(NUM_TESTS - 2)]
    return [*texts, draw.choice(_WORDS) * 2, ""]


def _evaluate(chain: Chain, value: Any) -> Any:  # noqa: ANN401 - a number, a list or a text
    # The expression is one of ours; nothing of it comes from outside.
    return eval(chain.code, {_PARAMETERS[chain.kind]: value})


def _problem(name: str, draw: random.Random, chain: Chain, cases: Sequence[tuple[Any, Any]], public: int) -> Problem:
    parameter, function = _PARAMETERS[chain.kind], draw.choice(_FUNCTIONS)
    described = {"number": "a whole number", "numbers": "a list of whole numbers", "text": "a text"}[chain.kind]
    asked = f"Take {parameter}, {described}: {', then '.join(chain.words)}. Return the result."
    commented = [f"# {words}\n    {code}" for words, code in zip(chain.words, chain.statements, strict=True)]
    head = f"def {function}({parameter}):"
    tests = [f"assert {function}({value!r}) == {result!r}" for value, result in cases]
    return Problem(
        name=name,
        task_type=f"generated-{name.split('-')[1]}",
        statement=f"Write a function {function}({parameter}). {asked}",
        names=(function,),
        preamble="",
        setting_up="",
        public=tuple(tests[:public]),
        hidden=tuple(tests[public:]),
        reference=f"{head} return {chain.code}",
        stepwise="\n    ".join([head, *chain.statements]),
        verbose="\n    ".join([head, f'"""{asked}"""', *commented]),
    )
