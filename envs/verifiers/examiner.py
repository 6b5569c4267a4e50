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

from envs.verifiers.exchange import Link, LinkError
from envs.verifiers.remote import Program

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
    program = Program(Link(_LINK))
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


def _bind(names: dict[str, Any], used: dict[str, bool], wanted: list[str] | None, program: Program) -> str:
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
