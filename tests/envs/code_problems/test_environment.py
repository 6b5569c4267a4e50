"""Episodes of programming problems: trying again, hidden tests, what is said and what is paid."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest

import envs
from envs.code_problems.environment import CodeProblems, program_of
from envs.errors import InputError
from tests.envs.code_problems.rows import HUMAN_EVAL_ROW, MBPP_ROW, write

RIGHT = "def add(a, b): return a + b"


@pytest.fixture
def env(tmp_path: Path) -> CodeProblems:
    made = CodeProblems(data=write(tmp_path / "mbpp.jsonl", MBPP_ROW), public_tests=1, max_turns=3, time_limit=2)
    made.reset(seed=0)
    return made


def test_the_problem_is_shown_with_its_public_tests_only(env: CodeProblems):
    text, info = env.reset(seed=0)
    assert text == "Write a function to add two numbers.\nIt should pass these tests:\nassert add(1, 2) == 3"
    assert (info["task"], info["goal"], info["won"]) == ("mbpp/601", "Write a function to add two numbers.", False)
    assert info["admissible_commands"] == []


def test_a_right_program_wins(env: CodeProblems):
    text, reward, terminated, truncated, info = env.step(RIGHT)
    assert (text, reward, terminated, truncated, info["won"]) == ("All tests hold.", 1.0, True, False, True)
    assert env.step("anything")[:4] == ("All tests hold.", 0.0, True, False)


def test_a_failure_is_shown_and_can_be_repaired(env: CodeProblems):
    text, reward, terminated, truncated, info = env.step("def add(a, b): return a - b")
    assert text == "1 of 1 tests shown fail.\nassert add(1, 2) == 3\nadd(1, 2) is -1, expected 3.\nTry again."
    assert (reward, terminated, truncated, info["anchor"]) == (0.0, False, False, text)
    assert env.step(f"Sorry.\n```python\n{RIGHT}\n```\nThis is it.")[1:4] == (1.0, True, False)


def test_hidden_tests_decide_once_and_stay_hidden(env: CodeProblems):
    text, reward, terminated, truncated, info = env.step("def add(a, b): return 3")
    assert text == "The tests shown hold, but not all of the hidden ones do."
    assert (reward, terminated, truncated, info["won"]) == (0.0, True, False, False)
    assert env.step(RIGHT)[1:4] == (0.0, True, False)


def test_the_turns_are_counted(env: CodeProblems):
    for turn in range(1, 4):
        assert env.step("no program")[1:4] == (0.0, False, turn == 3)
    assert env.step(RIGHT)[1:4] == (0.0, False, True)


def test_programs_that_do_not_run_or_end(env: CodeProblems):
    text = env.step("def add(a, b) return a")[0]
    assert text == (
        "1 of 1 tests shown fail.\nassert add(1, 2) == 3\n"
        "the program does not run: SyntaxError: expected ':' (program.py, line 1).\nTry again."
    )
    # On a busy machine the time to wait may be over before the processor time is.
    endless = env.step("def add(a, b):\n    while True: pass")[0]
    assert "the program ended without an answer" in endless or "the tests were stopped" in endless
    assert "the program defines no 'add'" in env.step("")[0]


def test_what_a_program_says_of_itself_is_cut_and_plain_text(env: CodeProblems):
    for value in ("chr(0xD800) * 5", "'x' * 10 ** 6", "[[[1]]] * 10 ** 5"):
        text = env.reset(seed=0) and env.step(f"def add(a, b): raise ValueError({value})")[0]
        assert env.observation_space.contains(text)
        assert len(text) < 1000
        assert "ValueError" in text


def test_without_public_tests_the_name_is_told_and_the_first_program_counts(tmp_path: Path):
    env = CodeProblems(data=write(tmp_path / "mbpp.jsonl", MBPP_ROW), public_tests=0)
    assert env.reset(seed=0)[0].endswith("It should define add.")
    assert env.step("def add(a, b): return 3")[1:4] == (0.0, True, False)


def test_the_preamble_of_a_prompt_is_put_before_an_answer(tmp_path: Path):
    env = CodeProblems(data=write(tmp_path / "h.jsonl", HUMAN_EVAL_ROW), split="test")
    text, _ = env.reset(seed=0)
    assert text.startswith("Complete this function.\nimport math")
    program = "def root(coefficients: List[float]): return -coefficients[0] / coefficients[1] + 0 * poly([1], 1)"
    assert env.step(program)[1:4] == (1.0, True, False)


def test_players(tmp_path: Path):
    env = CodeProblems(difficulty=1)
    env.reset(seed=3)
    program = env.players["random"](env, 0).act("", env.reset(seed=3)[1])
    assert program.startswith("def ")
    assert "(*arguments): return " in program
    for player in ("oracle", "stepwise", "verbose"):
        won = 0
        for task in env.sample_tasks(5, 5):
            _, info = env.reset(options={"task": task})
            won += env.step(env.players[player](env, 0).act("", info))[4]["won"]
        assert won == 5
    assert "\n" not in env.players["oracle"](env, 0).act("", info)
    assert "\n    return " in env.players["stepwise"](env, 0).act("", info)


def test_a_problem_of_a_file_has_no_stepwise_program_but_its_reference(tmp_path: Path):
    env = CodeProblems(data=write(tmp_path / "mbpp.jsonl", MBPP_ROW))
    env.reset(seed=0)
    said = [env.players[player](env, 0).act("", env.reset(seed=0)[1]) for player in ("oracle", "stepwise", "verbose")]
    assert set(said) == {env.problem.reference}


def test_tasks_of_a_file_are_drawn_without_repetition(tmp_path: Path):
    rows = [{**MBPP_ROW, "task_id": number} for number in range(601, 611)]
    env = CodeProblems(data=write(tmp_path / "mbpp.jsonl", *rows))
    tasks = env.sample_tasks(1, 25)
    assert sorted(tasks[:10]) == sorted(tasks[10:20]) == [f"mbpp/{number}" for number in range(601, 611)]
    assert tasks[:7] == env.sample_tasks(1, 7)
    assert "10 problems of mbpp.jsonl, split train, hash " in env.describe_data()


def test_a_step_before_the_reset_is_an_error():
    with pytest.raises(gymnasium.error.ResetNeeded):
        CodeProblems().step("x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "unknown split"),
        ({"difficulty": 9}, "unknown difficulty"),
        ({"sandbox": "safe"}, "unknown sandbox"),
        ({"max_turns": 0}, "max_turns should be a whole number of at least 1"),
        ({"public_tests": 5}, "public_tests should be a whole number from 0 to 4"),
        ({"time_limit": 0}, "time_limit"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        CodeProblems(**options)


def test_the_environment_has_a_name_and_an_identifier():
    assert "code" in envs.names()
    assert envs.make("code", difficulty=1).sample_tasks(0, 1)[0].startswith("generated/train-1-")


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("x = 1", "x = 1"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("First\n```\nx = 1\n```\nthen\n```py\nx = 2\n```", "x = 2\n"),
        ("```python\nx = 1\n", "x = 1\n"),
        ("", ""),
    ],
)
def test_the_program_in_an_answer(answer: str, program: str):
    assert program_of(answer) == program
