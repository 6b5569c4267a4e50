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


class VerbosePlayer(OraclePlayer):
    """Repeats the problem in a docstring and explains every statement: right, but long for a reply of few tokens."""

    def __init__(self, problem: Problem) -> None:
        """Starts.

        Args:
            problem: the problem; of one that was not generated, this player too gives the reference solution.
        """
        super().__init__(problem)
        self._reference = problem.verbose or problem.reference


class StepwisePlayer(OraclePlayer):
    """Writes a statement for each operation that is asked for, where the oracle writes one expression for all."""

    def __init__(self, problem: Problem) -> None:
        """Starts.

        Args:
            problem: the problem; of one that was not generated, this player too gives the reference solution.
        """
        super().__init__(problem)
        self._reference = problem.stepwise or problem.reference
