"""Wrong versions of a right program, to see whether tests notice.

`altered` changes what every function under test returns; tests that let it pass test nothing. `changed` changes one
operator, comparison or number of the program, as mutation testing does; some such programs are still right.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from envs.code_problems.problems import Problem

_ALTER = """
def _altered(function):
    def wrapped(*arguments, **keywords):
        value = function(*arguments, **keywords)
        if isinstance(value, bool):
            return not value
        if isinstance(value, (int, float, complex)):
            return value + 1
        if isinstance(value, str):
            return value + "?"
        if isinstance(value, dict):
            return {**value, "?": "?"}
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value)([*value, "?"])
        return "?" if value is None else None
    return wrapped
"""
_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def altered(problem: Problem) -> str | None:
    """Returns the reference with other return values; None if no function is under test."""
    defined = ast.parse(problem.reference).body
    functions = {node.name for node in defined if isinstance(node, ast.FunctionDef)} & set(problem.names)
    if not functions:
        return None
    return "\n".join([problem.reference, _ALTER, *(f"{name} = _altered({name})" for name in sorted(functions))])


def changed(problem: Problem) -> Iterator[str]:
    """Yields the reference with one thing changed, in the order of the program."""
    count = sum(_can_change(node) for node in ast.walk(ast.parse(problem.reference)))
    for place in range(count):
        tree = ast.parse(problem.reference)
        _change([node for node in ast.walk(tree) if _can_change(node)][place])
        yield ast.unparse(tree)


def _can_change(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp | ast.BoolOp):
        return type(node.op) in _SWAPS
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in _SWAPS
    return isinstance(node, ast.Constant) and type(node.value) is int


def _change(node: ast.AST) -> None:
    if isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = _SWAPS[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Compare):
        node.ops[0] = _SWAPS[type(node.ops[0])]()  # type: ignore[call-overload]
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        node.value += 1
