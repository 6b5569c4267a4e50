"""Scripted players of programming problems."""

from __future__ import annotations

import random

from envs.code_problems.problems import Problem
from envs.types import Info

_GUESSES = ("arguments[0]", "arguments[-1]", "len(arguments)", "0", "1", "True", "False", "None", "[]", "''")


class RandomPlayer:
    """Defines what is asked for, with a body that is a guess without reading the problem."""

    def __init__(self, problem: Problem, seed: int) -> None:
        """Starts.

        Args:
            problem: the problem.
            seed: of its guesses.
        """
        self._names = problem.names
        self._random = random.Random(seed)

    def act(self, text: str, info: Info) -> str:
        """Returns a program."""
        bodies = (f"def {name}(*arguments): return {self._random.choice(_GUESSES)}" for name in self._names)
        return "\n".join(bodies)


class OraclePlayer:
    """Gives the reference solution."""

    def __init__(self, problem: Problem) -> None:
        """Starts.

        Args:
            problem: the problem.
        """
        self._reference = problem.reference

    def act(self, text: str, info: Info) -> str:
        """Returns the reference solution."""
        return self._reference


class StyledPlayer(OraclePlayer):
    """Gives another program that is known to pass, such as one with a statement for each operation."""

    def __init__(self, problem: Problem, program: str) -> None:
        """Starts.

        Args:
            problem: the problem.
            program: what it gives; where none is known, it gives the reference solution.
        """
        super().__init__(problem)
        self._reference = program or problem.reference
