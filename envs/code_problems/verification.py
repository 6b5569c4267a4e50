"""Runs the tests of a programming problem."""

from __future__ import annotations

import dataclasses

from envs.code_problems.problems import Problem
from envs.sandbox import Limits
from envs.verifiers.unit_tests import Examination, examine


def run_tests(problem: Problem, program: str, seconds: int, sandbox: str) -> Examination:
    """Runs all tests of a problem, the public ones first.

    Args:
        problem: the problem.
        program: an answer.
        seconds: of processor time. The clock on the wall allows four times as many: on a busy machine a right program
            should not count as wrong.
        sandbox: what confines programs.

    Raises:
        SandboxError: the sandbox broke.
    """
    limits = Limits(wall_seconds=4.0 * seconds, cpu_seconds=seconds)
    text = f"{problem.preamble}\n{program}" if problem.preamble else program
    return examine(text, problem.tests, limits, names=problem.names, sandbox=sandbox)


def without_wrong_examples(problem: Problem, seconds: int, sandbox: str) -> Problem:
    """Returns a problem without the public tests that are examples of its text and that its own reference fails.

    Examples in a text are written for readers, and some published ones are wrong.

    Args:
        problem: the problem.
        seconds: of processor time.
        sandbox: what confines programs.
    """
    if not problem.examples or not problem.public:
        return problem
    results = run_tests(problem, problem.reference, seconds, sandbox).results
    right = [test for test, result in zip(problem.public, results, strict=False) if result.passed]
    return dataclasses.replace(problem, public=tuple(right))
