"""The episode around a problem: answers, attempts, the calculator, what is refused."""

from __future__ import annotations

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.math_problems.calculator import calculate, called
from envs.math_problems.environment import MathProblems

TASK = "train-addition-2-12345"


def test_one_answer():
    env = MathProblems()
    text, info = env.reset(options={"task": TASK})
    assert text == info["goal"] == env.problem.question
    assert info["admissible_commands"] == []
    assert info["anchor"].startswith(text)
    said, reward, terminated, truncated, info = env.step(f"Let me see.\nIt is\n#### {env.problem.answer}")
    assert (said, reward, terminated, truncated, info["won"]) == ("That is right.", 1.0, True, False, True)
    assert env.step("again")[:4] == (said, 0.0, True, False)
    env.reset(options={"task": TASK})
    assert env.step("0")[:4] == ("That is not right.", 0.0, True, False)
    assert env.step(env.problem.answer)[1:4] == (0.0, True, False)


def test_attempts_with_feedback():
    env = MathProblems(attempts=3)
    text, first = env.reset(options={"task": TASK})
    assert text.endswith("You have 3 attempts.")
    said, reward, terminated, _, second = env.step("perhaps 0")
    assert (said, reward, terminated) == ("That is not right. 2 attempts are left.", 0.0, False)
    assert env.step("")[0] == "That is not right. 1 attempt is left."
    assert env.step(env.problem.answer)[1:3] == (1.0, True)
    assert first["anchor"] != second["anchor"]


def test_turns_that_say_the_same_have_the_same_anchor():
    anchors = []
    for order in (("1", r"so \boxed{0}"), ("0", "it is 1")):
        env = MathProblems(attempts=4)
        env.reset(options={"task": TASK})
        anchors.append([env.step(turn)[4]["anchor"] for turn in order])
    assert anchors[0][1] == anchors[1][1]
    assert anchors[0][0] != anchors[1][0]


def test_the_calculator_is_a_tool_and_costs_no_attempt():
    env = MathProblems(calculator=True, max_turns=3)
    text, _ = env.reset(options={"task": TASK})
    assert "calculate: 12*7" in text
    assert env.step("First I multiply.\nCalculate: 12*7")[:3] == ("12*7 = 84", 0.0, False)
    assert env.step("calculate: boom()")[0].startswith("The calculator cannot do 'boom()'")
    assert env.step(env.problem.answer)[4]["won"]
    env.reset(options={"task": TASK})
    assert [env.step("calculate: 1+1")[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    assert env.step(env.problem.answer)[1:4] == (0.0, False, True)


def test_without_a_calculator_the_same_turn_is_an_answer():
    env = MathProblems()
    env.reset(options={"task": TASK})
    assert env.step("calculate: 1+1")[2]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("12*7", "12*7 = 84"),
        ("10/4", "10/4 = 2.5"),
        ("-1/8", "-1/8 = -0.125"),
        ("1/3", "1/3 = 1/3"),
        ("2^10 - (3+4)*5", "2^10 - (3+4)*5 = 989"),
        ("1/0", "The calculator cannot do '1/0': it divides by zero."),
        ("9**9**9**9", "The calculator cannot do '9**9**9**9': its value is too long."),
        ("2**9999", "2**9999 = a number too long to write"),
        ("2+", "The calculator cannot do '2+': it ends too early."),
        ("", "The calculator cannot do '': it ends too early."),
        ("__import__('os')", "The calculator cannot do \"__import__('os')\": it has '_' in it."),
    ],
)
def test_calculating(expression: str, said: str):
    assert calculate(expression) == said


@given(text=st.text(alphabet="0123456789+-*/^().e {}\\frac", max_size=60))
@settings(deadline=None, max_examples=150)
def test_the_calculator_answers_anything(text: str):
    assert len(calculate(text)) < 600
    assert called(f"thinking\ncalculate: {text}") == text.strip()


def test_the_direct_player_wins_without_working_anything_out():
    env = MathProblems()
    for task in env.sample_tasks(0, 20):
        text, info = env.reset(options={"task": task})
        answer = env.players["direct"](env, 0).act(text, info)
        assert answer.startswith("#### ")
        assert "\n" not in answer
        assert env.step(answer)[4]["won"]


def test_the_oracle_uses_the_calculator_and_wins():
    env = MathProblems(calculator=True, level=4, families=("equation",))
    text, info = env.reset(seed=0)
    oracle = env.players["oracle"](env, 0)
    turns = []
    over = False
    while not over:
        turns.append(oracle.act(text, info))
        text, _, terminated, truncated, info = env.step(turns[-1])
        over = terminated or truncated
    assert [turn.startswith("calculate: ") for turn in turns] == [True, True, False]
    assert info["won"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tests"}, "Did you mean 'test'"),
        ({"source": "generate"}, "Did you mean 'generated'"),
        ({"level": 6}, "level should be a whole number from 1 to 5, got 6"),
        ({"attempts": 0}, "attempts should be a whole number of at least 1, got 0"),
        ({"max_turns": 0}, "max_turns should be a whole number of at least 1, got 0"),
        ({"source": "file"}, "needs data=PATH"),
        ({"source": "generated", "data": "x.jsonl"}, "takes no data"),
        ({"families": ("addition",), "data": "x.jsonl"}, "families= chooses among generated problems"),
        ({"families": ("adition",)}, "Did you mean 'addition'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str):
    with pytest.raises(InputError, match=message) as caught:
        MathProblems(**options)
    assert "\n" not in str(caught.value)


def test_wrong_use():
    with pytest.raises(gymnasium.error.ResetNeeded):
        MathProblems().step("5")
    with pytest.raises(InputError, match="unknown reset option"):
        MathProblems().reset(options={"game": "x"})
    for task in ("x", ""):
        with pytest.raises(InputError, match=f"no generated problem '{task}'"):
            MathProblems().reset(options={"task": task})
