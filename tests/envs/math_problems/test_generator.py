"""Generated problems: pure in their names, splits apart, answers right, levels harder."""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.math_problems.families import FAMILIES
from envs.math_problems.generator import LEVELS, Generator
from envs.math_problems.problems import SPLITS, split_of
from envs.verifiers.math_answer import verify

names = st.builds(
    "{}-{}-{}-{}".format,
    st.sampled_from(SPLITS),
    st.sampled_from(sorted(FAMILIES)),
    st.sampled_from(LEVELS),
    st.integers(0, 10**9),
)
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: Fraction,
}


def value(expression: str) -> Fraction:
    """An independent calculator."""

    def of(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant):
            return Fraction(node.value)
        if isinstance(node, ast.UnaryOp):
            return -of(node.operand)
        assert isinstance(node, ast.BinOp)
        return Fraction(_OPERATORS[type(node.op)](of(node.left), of(node.right)))

    return of(ast.parse(expression.strip(), mode="eval").body)


@given(name=names)
@settings(deadline=None, max_examples=200)
def test_every_problem_is_right_and_in_its_split(name: str):
    split, family, _, _ = name.split("-")
    problem = Generator("train", (), 1).problem(name)
    assert problem == Generator("test", ("story",), 5).problem(name)
    assert problem.family == family
    assert split_of(problem.question) == split
    assert verify(problem.solution, problem.answer).passed
    assert problem.solution.endswith(f"#### {problem.answer}")
    for line in problem.solution.splitlines()[:-1]:
        for part in line.split(", "):
            sides = [side for side in re.sub(r"^[^=]*: ", "", part).rstrip(".").split(" = ") if "x" not in side]
            assert len({value(side) for side in sides}) == 1, line


@given(name=names)
@settings(deadline=None, max_examples=100)
def test_questions_have_the_answers_that_they_ask_for(name: str):
    problem = Generator("train", (), 1).problem(name)
    asked = re.fullmatch(r"What is ([^%A-Z]+)\?.*", problem.question)
    if asked:
        assert value(asked[1]) == Fraction(problem.answer)
    equation = re.fullmatch(r"Solve for x: (\d+)x \+ (\d+) = (\d+)", problem.question)
    if equation:
        factor, shift, total = map(int, equation.groups())
        assert factor * int(problem.answer) + shift == total


def test_stories_are_told_as_they_are_computed():
    """An independent reading of the sentences gives the same number."""
    generator = Generator("train", ("story",), 5)
    for name in generator.sample(0, 100):
        problem = generator.problem(name)
        count = 0
        for sentence in problem.question.split(". "):
            numbers = [int(number) for number in re.findall(r"\d+", sentence)]
            if " has " in sentence:
                count = numbers[0]
            elif re.search("finds|buys|gets", sentence):
                count += numbers[0]
            elif re.search("loses|sells|gives away", sentence):
                count -= numbers[0]
            elif "each give" in sentence:
                count += numbers[0] * numbers[1]
            elif "doubles" in sentence or "triples" in sentence:
                count *= 2 if "doubles" in sentence else 3
            elif "half" in sentence:
                count //= 2
        assert problem.answer == str(count), problem.question


def test_small_families_share_no_question_between_splits():
    questions = {}
    for split in SPLITS:
        generator = Generator(split, ("addition",), 1)
        questions[split] = {generator.problem(name).question for name in generator.sample(0, 400)}
    assert sum(map(len, questions.values())) == len(set().union(*questions.values()))
    assert len(questions["train"]) > 60
    assert min(map(len, questions.values())) >= 3


def test_the_smallest_level_is_small_and_levels_grow():
    smallest = Generator("train", (), 1)
    assert all(len(re.findall(r"\d", smallest.problem(name).question)) == 2 for name in smallest.sample(0, 50))
    lengths = []
    for level in LEVELS:
        generator = Generator("train", (), level)
        lengths.append(sum(len(generator.problem(name).solution) for name in generator.sample(0, 100)))
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("name", ["", "train-addition-2", "train-nothing-2-5", "train-addition-9-5", "x-addition-1-1"])
def test_names_of_nothing_are_refused(name: str):
    with pytest.raises(InputError, match="no generated problem"):
        Generator("train", (), 1).problem(name)


def test_unknown_families_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'addition'"):
        Generator("train", ("additon",), 1)
