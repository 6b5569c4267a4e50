"""The tests, in a sandboxed process of their own: runs each statement and reports what became of it.

Names that the tests use and do not define stand for the program's (`candidate`), which runs elsewhere: a function is
called there with the arguments' values and its value is compared here. Runs inside the sandbox, with the standard
library only.

The job comes as the text of the program: `{"tests": text or [text, ...], "names": [...] or null}` in JSON. Reports
are lines of JSON on a file descriptor that the program under test does not have: `{"invalid": text}`, or `{"count":
n}` and then `{"source": text, "passed": bool, "message": text}` for each statement that tests something, in order.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import re
import sys
from typing import Any

from envs.verifiers.exchange import Link, LinkError, decode, encode

_LINK, _REPORTS = 4, 5
_LONGEST = 300
_LONGEST_MESSAGE = 2_000
_SETTING_UP = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
)
_MUTABLE = (list, dict, set, bytearray)


def main(source: str) -> None:
    """Runs the tests of a job and reports.

    Args:
        source: the job.
    """
    job = json.loads(source)
    try:
        groups = _parse(job["tests"])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _report({"invalid": f"the tests are not Python: {error}"})
        return
    checks = [group for group in groups if not all(map(_sets_up, group))]
    _report({"count": len(checks)})
    program = _Program(Link(_LINK))
    names: dict[str, Any] = {"__name__": "tests"}
    trouble = program.begin()
    if not trouble:
        used = _used_names([statement for group in groups for statement in group])
        trouble = _bind(names, used, job["names"], program)
    for group in groups:
        is_check = any(group is check for check in checks)
        message = trouble or _run(group, names)
        if message and not is_check:
            trouble = message
        if is_check:
            text = "\n".join(map(ast.unparse, group))
            # A program chooses what its errors and values say; where an object lies in memory differs from run to run.
            told = re.sub(r" at 0x[0-9a-f]+", "", _shortened(message, _LONGEST_MESSAGE))
            _report({"source": text, "passed": not message, "message": told})


def _parse(tests: str | list[str]) -> list[list[ast.stmt]]:
    """Splits tests into groups of statements that pass or fail together: a text of a list, or a statement of a text."""
    if isinstance(tests, str):
        return [[statement] for statement in ast.parse(tests).body]
    return [body for body in (ast.parse(text).body for text in tests) if body]


def _sets_up(statement: ast.stmt) -> bool:
    """Whether a statement tests nothing by itself."""
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_text or isinstance(statement, _SETTING_UP)


def _used_names(statements: list[ast.stmt]) -> dict[str, bool]:
    """Returns the names that statements use, and whether they are only used for their attributes, as modules are."""
    nodes = [node for statement in statements for node in ast.walk(statement)]
    of_attributes = [id(node.value) for node in nodes if isinstance(node, ast.Attribute)]
    used: dict[str, bool] = {}
    for node in nodes:
        if isinstance(node, ast.Name):
            used[node.id] = used.get(node.id, True) and id(node) in of_attributes
    return used


def _bind(names: dict[str, Any], used: dict[str, bool], wanted: list[str] | None, program: _Program) -> str:
    """Gives the tests what they use of the program. Returns what went wrong, "" if nothing did."""
    absent = [name for name in used if name in (wanted or ()) and name not in program.names]
    if absent:
        return f"the program defines no {absent[0]!r}"
    for name, of_attributes in used.items():
        if wanted is None and of_attributes and name in sys.stdlib_module_names:
            names[name] = importlib.import_module(name)
        elif name in program.names and (name in wanted if wanted is not None else name not in vars(builtins)):
            try:
                names[name] = program.ask(["global", name])
            except LinkError as error:
                return str(error)
    return ""


def _run(statements: list[ast.stmt], names: dict[str, Any]) -> str:
    """Runs statements. Returns what went wrong, "" if nothing did."""
    try:
        for statement in statements:
            if _is_equality(statement):
                message = _check_equality(statement, names)
                if message:
                    return message
            else:
                exec(compile(ast.Module([statement], []), "tests.py", "exec"), names)
    except AssertionError as error:
        return f"the assertion does not hold{': ' if str(error) else ''}{error}"
    except LinkError as error:
        return str(error)
    except BaseException as error:
        # The boundary: whatever a test raises fails it.
        return f"{type(error).__name__}: {error}"
    return ""


def _is_equality(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Assert)
        and isinstance(statement.test, ast.Compare)
        and len(statement.test.ops) == 1
        and isinstance(statement.test.ops[0], ast.Eq)
    )


def _check_equality(statement: Any, names: dict[str, Any]) -> str:  # noqa: ANN401 - an assert of an equality
    """Runs `assert A == B` such that the values can be told. Returns what went wrong."""
    found = _value(statement.test.left, names)
    expected = _value(statement.test.comparators[0], names)
    if found == expected:
        return ""
    return f"{ast.unparse(statement.test.left)} is {_shown(found)}, expected {_shown(expected)}"


def _value(expression: ast.expr, names: dict[str, Any]) -> Any:  # noqa: ANN401
    return eval(compile(ast.Expression(expression), "tests.py", "eval"), names)


def _shown(value: Any) -> str:  # noqa: ANN401
    return _shortened(repr(value), _LONGEST)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _report(told: dict[str, Any]) -> None:
    data = memoryview(json.dumps(told).encode() + b"\n")
    while data:
        data = data[os.write(_REPORTS, data) :]


class _Program:
    """The program under test, seen from here.

    Attributes:
        names: its global names.
    """

    def __init__(self, link: Link) -> None:
        self.names: frozenset[str] = frozenset()
        self._link = link
        self._remotes: dict[int, Remote] = {}
        self._functions: list[Any] = []

    def begin(self) -> str:
        """Waits until the program has been run. Returns what went wrong, "" if nothing did."""
        try:
            told = self._link.receive()
            if "raised" in told:
                kinds, text = told["raised"]
                return f"the program does not run: {kinds[0]}: {text}"
            self.names = frozenset(map(str, told["names"]))
        except LinkError:
            return "the program ended before its functions could be called"
        except (TypeError, ValueError, LookupError):
            return "the program spoilt its answers"
        return ""

    def ask(self, request: list[Any]) -> Any:  # noqa: ANN401
        """Sends a request, serves what is asked back meanwhile, and returns the value.

        Raises:
            LinkError: the program is gone or answers nonsense.
            Exception: the program raised one of this class.
        """
        return self._decode(self._answer(request)["value"])

    def call(self, number: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:  # noqa: ANN401
        """Calls a function of the program; arguments that it changes in place are changed here too."""
        named = {name: self.encode(value) for name, value in keywords.items()}
        answer = self._answer(["call", number, [self.encode(value) for value in arguments], named])
        value = self._decode(answer["value"])
        for argument, changed in zip(arguments, answer.get("arguments", ()), strict=False):
            if changed is not None and isinstance(argument, _MUTABLE):
                _replace(argument, self._decode(changed))
        return value

    def encode(self, value: Any) -> Any:  # noqa: ANN401
        """Writes a value for the program."""
        return encode(value, self._keep)

    def _answer(self, request: list[Any]) -> dict[str, Any]:
        self._link.send(request)
        while isinstance(answer := self._link.receive(), list):
            self._link.send(self._serve(answer))
        if not isinstance(answer, dict) or not ("value" in answer or "raised" in answer):
            raise LinkError("the program spoilt its answers")
        if "raised" in answer:
            _raise(answer["raised"])
        return answer

    def _serve(self, request: list[Any]) -> dict[str, Any]:
        """Calls a function that the tests handed over; the program can do nothing else here."""
        try:
            _, number, arguments, keywords = request
            named = {str(name): self._decode(value) for name, value in keywords.items()}
            return {"value": self.encode(self._functions[number](*map(self._decode, arguments), **named))}
        except Exception as error:
            # The boundary: what a function of the tests raises goes back to its caller.
            return {"raised": [type(error).__name__, str(error)]}

    def _decode(self, data: Any) -> Any:  # noqa: ANN401
        return decode(data, self._find)

    def _find(self, kind: str, number: int) -> Any:  # noqa: ANN401
        if kind == "yours":
            return self._functions[number]
        if number not in self._remotes:
            self._remotes[number] = Remote(self, number)
        return self._remotes[number]

    def _keep(self, value: Any) -> list[Any]:  # noqa: ANN401
        if isinstance(value, Remote):
            return ["yours", object.__getattribute__(value, "_number")]
        if not callable(value):
            raise TypeError(f"tests can hand over plain values and functions, not a {type(value).__name__}")
        self._functions.append(value)
        return ["theirs", len(self._functions) - 1]


class Remote:
    """A value of the program that is not plain data: a function, a class, an object of a class of its own.

    It is equal to itself only: what its own class says of equality would be the program's word.
    """

    _program: _Program
    _number: int

    def __init__(self, program: _Program, number: int) -> None:
        """Stands for a value.

        Args:
            program: whose value it is.
            number: which.
        """
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        """Calls it with values."""
        return self._program.call(self._number, arguments, keywords)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Returns an attribute's value."""
        return self._program.ask(["get", self._number, name])

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        """Sets an attribute."""
        self._program.ask(["set", self._number, name, self._program.encode(value)])

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401
        """Returns an item."""
        return self._program.ask(["item", self._number, self._program.encode(key)])

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401
        """Sets an item."""
        self._program.ask(["put", self._number, self._program.encode(key), self._program.encode(value)])

    def __len__(self) -> int:
        """Returns its length."""
        return int(self._program.ask(["length", self._number]))

    def __bool__(self) -> bool:
        """An object is true; what its own class says would be the program's word."""
        return True

    def __iter__(self) -> Any:  # noqa: ANN401
        """Returns an iterator over it."""
        return self._program.ask(["iterate", self._number])

    def __next__(self) -> Any:  # noqa: ANN401
        """Returns its next item, for an iterator."""
        return self._program.ask(["next", self._number])

    def __str__(self) -> str:
        """Returns its text."""
        return str(self._program.ask(["text", self._number]))

    def __repr__(self) -> str:
        """Returns its text."""
        return str(self)


def _replace(value: Any, changed: Any) -> None:  # noqa: ANN401 - mutable containers
    """Gives a container the content of another of its kind."""
    if type(value) is not type(changed):
        raise LinkError("the program spoilt its answers")
    if isinstance(value, list | bytearray):
        value[:] = changed
    else:
        value.clear()
        value.update(changed)


def _raise(told: Any) -> None:  # noqa: ANN401
    """Raises the nearest built-in exception to what the program raised.

    Raises:
        Exception: that.
    """
    try:
        kinds, text = list(told[0]), str(told[1])
    except (TypeError, LookupError, ValueError):
        raise LinkError("the program spoilt its answers") from None
    for name in kinds:
        kind = vars(builtins).get(name) if isinstance(name, str) else None
        if isinstance(kind, type) and issubclass(kind, Exception):
            # The Unicode errors want more than a text.
            raise (ValueError if issubclass(kind, UnicodeError) else kind)(text)
    raise LinkError(f"the program raised {kinds[0] if kinds else 'something'}: {text}")
