"""The families of reasoning-gym: scored by themselves, in a process that can be killed, and never as code."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from envs.errors import InputError, MissingExtraError
from envs.math_problems.environment import MathProblems
from envs.math_problems.reasoning import DEFAULT_FAMILIES, ReasoningGym, harmless

needs_reasoning_gym = pytest.mark.skipif(
    importlib.util.find_spec("reasoning_gym") is None, reason="needs pip install 'keystone-rl[reasoning-gym]'"
)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'keystone-rl\[reasoning-gym\]'"):
        MathProblems(source="reasoning_gym")


@needs_reasoning_gym
@pytest.mark.parametrize("family", [*DEFAULT_FAMILIES, "spiral_matrix", "simple_integration", "countdown"])
def test_the_known_answer_is_right_and_nonsense_is_not(family: str):
    env = MathProblems(source="reasoning_gym", families=(family,), level=1)
    for task in env.sample_tasks(0, 2):
        text, info = env.reset(options={"task": task})
        assert env.observation_space.contains(text)
        assert info["task_type"] == family
        assert env.step(env.players["oracle"](env, 0).act(text, info))[4]["won"]
        env.reset(options={"task": task})
        assert env.step("qwertyuiop")[1] == 0


@needs_reasoning_gym
def test_levels_make_problems_harder():
    lengths = []
    for level in (1, 3, 5):
        source = ReasoningGym("train", ("chain_sum",), level)
        lengths.append(sum(len(source.problem(name).question) for name in source.sample(0, 10)))
    assert lengths == sorted(set(lengths))


@needs_reasoning_gym
@pytest.mark.parametrize("level", [0, 6, 9])
def test_levels_that_there_are_not_are_refused(level: int):
    with pytest.raises(InputError, match="names look like train-chain_sum-1-12345"):
        MathProblems(source="reasoning_gym").reset(options={"task": f"train-chain_sum-{level}-5"})


@needs_reasoning_gym
def test_another_process_makes_the_same_problems():
    source = ReasoningGym("test", (), 1)
    names = source.sample(0, 4)
    script = (
        "import sys; from envs.math_problems.reasoning import ReasoningGym\n"
        f"source = ReasoningGym('test', (), 1); print([source.problem(name) for name in {names!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([source.problem(name) for name in names])


@needs_reasoning_gym
def test_unknown_families_are_refused():
    with pytest.raises(InputError, match="Did you mean 'chain_sum'"):
        ReasoningGym("train", ("chain_sums",), 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[1, 2]", True),
        ('["a", "b"]', True),
        ("x**2 + 3*x", True),
        ("(x+1)(x+2)", True),
        ("sin(x)*2.5", True),
        ('{"a": 1}', True),
        ("__import__('os')", False),
        ("open('x')", False),
        ("(1).real", False),
        ("[].append(1)", False),
        ("eval ('1')", False),
        ("().__class__", False),
        ("(lambda: 1)()", False),
        ("[print][0]('x')", False),
        ("[x for x in (1).to_bytes(1)]", False),
    ],
)
def test_what_may_be_evaluated(answer: str, expected: bool):
    assert harmless(answer) == expected


@needs_reasoning_gym
def test_answers_are_not_run(tmp_path: object):
    path = f"{tmp_path}/made"
    env = MathProblems(source="reasoning_gym", families=("spiral_matrix",), level=1)
    for answer in (f"open({path!r}, 'w')", f"[open][0]({path!r}, 'w')", f"[*map(open, [{path!r}], 'w')]"):
        env.reset(seed=0)
        assert not env.step(answer)[4]["won"]
    import os

    assert not os.path.exists(path)
