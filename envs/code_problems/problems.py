"""One programming problem: what is asked, and the tests that decide."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """A programming problem.

    Attributes:
        name: of the task.
        task_type: the kind of problem, for results by kind.
        statement: what is asked, in words.
        names: what a program has to define for the tests.
        preamble: program text that is put before every answer, such as helpers that the problem gives.
        setting_up: statements that the tests need; they test nothing.
        public: tests that are shown.
        hidden: tests that are not.
        reference: a program that passes.
        examples: whether the public tests are examples of the text, which may be wrong.
        stepwise: another program that passes, with a statement for each operation that is asked for; empty where
            none is known.
        verbose: the same with the problem repeated in its docstring and each operation in a comment; empty likewise.
    """

    name: str
    task_type: str
    statement: str
    names: tuple[str, ...]
    preamble: str
    setting_up: str
    public: tuple[str, ...]
    hidden: tuple[str, ...]
    reference: str
    examples: bool = False
    stepwise: str = ""
    verbose: str = ""

    @property
    def tests(self) -> list[str]:
        """All tests for the verifier, the public ones first."""
        return [*([self.setting_up] if self.setting_up else []), *self.public, *self.hidden]


def defined_names(tree: ast.Module) -> set[str]:
    """Returns what a program defines at its top level, without what it imports."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        else:
            named = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
            found |= {part.id for part in named if isinstance(part.ctx, ast.Store)}
    return found


def used_names(trees: Iterable[ast.AST]) -> set[str]:
    """Returns the names that pieces of program use."""
    return {part.id for tree in trees for part in ast.walk(tree) if isinstance(part, ast.Name)}


def needed_imports(tree: ast.Module, used: set[str]) -> list[str]:
    """Returns the import statements of a program, one name each, of names that something else uses too."""
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) in used and alias.name != "*":
                    start = f"from {'.' * node.level}{node.module or ''} " if isinstance(node, ast.ImportFrom) else ""
                    found.append(f"{start}import {ast.unparse(alias)}")
    return found


def tested_names(reference: ast.Module, tests: Iterable[ast.AST]) -> tuple[str, ...]:
    """Returns what a reference program defines of what tests use: what any program has to define."""
    return tuple(sorted(defined_names(reference) & used_names(tests)))
