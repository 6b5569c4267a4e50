"""Where the starting policies of worlds are, and the commands that make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.starts import WARM, locate, start_folder, warmstart_command
from envs.config import load
from envs.errors import InputError
from training.warmstart import WarmstartConfig


def env(*words: str) -> object:
    return load(WarmstartConfig, list(words)).env


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path))


def test_a_start_belongs_to_a_world_and_its_options_but_not_to_a_split():
    one = start_folder(env("env=math"))
    assert one == start_folder(env("env=math", "env.split=valid"))
    assert one == start_folder(env("env=math", "env.level=2"))
    assert one != start_folder(env("env=math", "env.level=3"))
    assert one.name != start_folder(env("env=sokoban")).name
    assert one.name.startswith("math-")


@pytest.mark.parametrize(
    "words",
    [
        ("env=math",),
        ("env=math", "env.level=3", "env.families=[addition,story]", "env.calculator=true"),
        ("env=sokoban_hard",),
        ("env=code_tiny",),
    ],
)
def test_the_command_makes_that_start(words: tuple[str, ...]):
    wanted = env(*words)
    program, module, *given = warmstart_command(wanted).split()[1:]
    assert (program, module) == ("-m", "training.warmstart")
    assert start_folder(env(*given)) == start_folder(wanted)


def test_a_start_that_is_not_made_is_one_line_with_the_command():
    with pytest.raises(InputError, match=r"policy=warm: .* Make it: python -m training\.warmstart env=math$"):
        locate(WARM, env("env=math"), "policy")
