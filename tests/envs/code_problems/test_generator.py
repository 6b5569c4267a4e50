"""Generated problems: made again from their names, apart by split, with tests that notice."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.code_problems.generator import DIFFICULTIES, NUM_TESTS, generate, task_name
from envs.code_problems.mutations import altered, changed
from envs.code_problems.problems import Problem
from envs.errors import InputError

names = st.builds(
    task_name, st.sampled_from(["train", "valid", "test"]), st.sampled_from(DIFFICULTIES), st.integers(0, 2**31)
)


def passes(problem: Problem, program: str) -> bool:
    """Whether a program of ours passes; it needs no sandbox."""
    namespace: dict[str, object] = {}
    exec(program, namespace)
    try:
        for test in problem.tests:
            exec(test, namespace)
    except (AssertionError, TypeError, ValueError, ZeroDivisionError):
        return False
    return True


@settings(max_examples=40, deadline=None)
@given(names)
def test_a_name_brings_its_problem_back(name: str):
    problem = generate(name, 2)
    assert problem == generate(name, 2)
    assert problem.name == name
    assert (len(problem.public), len(problem.hidden)) == (2, NUM_TESTS - 2)
    assert generate(name, 0).hidden == problem.public + problem.hidden
    assert problem.statement.isprintable()


@settings(max_examples=40, deadline=None)
@given(names)
def test_the_reference_passes_and_altered_values_fail(name: str):
    problem = generate(name, 2)
    assert passes(problem, problem.reference)
    wrong = altered(problem)
    assert wrong is not None
    assert not passes(problem, wrong)


@settings(max_examples=40, deadline=None)
@given(names)
def test_the_stepwise_program_has_a_statement_for_each_operation_and_passes(name: str):
    problem = generate(name, 2)
    assert passes(problem, problem.stepwise)
    operations = len(problem.statement.split(", then "))
    assert len(problem.stepwise.splitlines()) == 1 + operations
    assert passes(problem, problem.verbose)
    assert len(problem.verbose.splitlines()) == 2 + 2 * operations


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_most_single_changes_fail(start: int):
    problems = [generate(task_name("train", 2, start + number), 2) for number in range(20)]
    programs = [(problem, program) for problem in problems for program in changed(problem)]
    assert sum(not passes(*pair) for pair in programs) > 0.8 * len(programs)


def asked(name: str) -> str:
    """What a problem asks, whatever the function is called."""
    return re.sub(r"^def \w+", "def f", generate(name, 2).reference)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_splits_share_no_problem(difficulty: int):
    found = {
        split: {asked(task_name(split, difficulty, n)) for n in range(150)} for split in ("train", "valid", "test")
    }
    assert not found["train"] & found["test"]
    assert not found["train"] & found["valid"]
    assert not found["valid"] & found["test"]
    assert len(found["train"]) > 75
    assert len(found["test"]) > 20


def test_the_easiest_are_functions_of_one_line():
    references = [generate(task_name("train", 1, number), 2).reference for number in range(50)]
    assert max(map(len, references)) < 50
    assert not any("\n" in reference for reference in references)


@pytest.mark.parametrize("name", ["generated/train-6-1", "generated/dev-1-1", "mbpp/601", "", "generated/train-1-x"])
def test_other_names_are_refused(name: str):
    with pytest.raises(InputError, match="no programming problem"):
        generate(name, 2)
