"""Environments by name: finding, making, registering, Gymnasium ids, and packages that hide ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import envs
from envs import registry
from envs.errors import InputError
from envs.installation import REPOSITORY, check_packages
from tests.envs.corridor import Corridor, CorridorConfig

WORLD = "tests.envs.corridor:Corridor"


@pytest.fixture
def corridor(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "_registered", {})
    envs.register("corridor", WORLD)
    yield "corridor"
    del gymnasium.registry["keystone/Corridor-v0"]


def test_the_file_name_is_the_name():
    assert "alfworld" in envs.names()
    assert envs.gymnasium_id("alfworld") == "keystone/ALFWorld-v0"
    assert "keystone/ALFWorld-v0" in gymnasium.registry


def test_the_line_is_found_in_modules_and_packages_without_importing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "zork.py").write_text('raise RuntimeError\nENVIRONMENT = "envs.zork:Zork"\n')
    (tmp_path / "maze").mkdir()
    (tmp_path / "maze" / "__init__.py").write_text('ENVIRONMENT = "envs.maze.world:Maze"\n')
    (tmp_path / "problems.py").write_text('ENVIRONMENT = "sums = envs.problems:Sums"\n')
    (tmp_path / "text.py").write_text('    ENVIRONMENT = "indented:No"\n')
    monkeypatch.setattr(registry, "_FOLDER", tmp_path)
    found = {"maze": "envs.maze.world:Maze", "sums": "envs.problems:Sums", "zork": "envs.zork:Zork"}
    assert registry._shipped.__wrapped__() == found


def test_an_environment_of_another_project_needs_no_registering():
    env = envs.make(WORLD, length=2)
    assert isinstance(env, Corridor)
    assert env.config == CorridorConfig(length=2)
    assert envs.config_class(WORLD) is CorridorConfig


def test_a_registered_environment_is_known_everywhere(corridor: str):
    assert corridor in envs.names()
    assert isinstance(envs.make(corridor), Corridor)
    env = gymnasium.make("keystone/Corridor-v0", length=2)
    text, info = env.reset(seed=3)
    assert text == f"You are in room {info['task'].removeprefix('train-')}."
    assert info["goal"] == "reach the door"
    envs.register(corridor, WORLD)


def test_names_cannot_be_taken_twice(corridor: str):
    with pytest.raises(InputError, match="already stands for"):
        envs.register(corridor, "another.zork:Zork")
    with pytest.raises(InputError, match=r"Gymnasium id .* is taken"):
        envs.register("corridor2", WORLD)
    assert "corridor2" not in envs.names()


@pytest.mark.parametrize(("name", "target"), [("a b", WORLD), ("zork", "zork"), ("zork", "zork:"), ("zork", "a-b:C")])
def test_malformed_registrations_are_refused(name: str, target: str):
    with pytest.raises(InputError):
        envs.register(name, target)


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("alfwrld", {}, "unknown environment 'alfwrld'. Did you mean 'alfworld'?"),
        (WORLD, {"lenght": 1}, "Did you mean 'length'? Allowed: length, light, max_turns, split."),
        (WORLD, {"light": "drk"}, "Did you mean 'dark'?"),
        ("no_such_package.zork:Zork", {}, "needs the module 'no_such_package'"),
        ("tests.envs.corridor:Nothing", {}, "has no subclass of envs.TextEnv named 'Nothing'"),
        ("tests.envs.corridor:CorridorConfig", {}, "has no subclass of envs.TextEnv named 'CorridorConfig'"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(name: str, options: dict, line: str):
    with pytest.raises(InputError) as caught:
        envs.make(name, **options)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_heavy_imports():
    heavy = "{'torch', 'transformers', 'scipy', 'matplotlib'}"
    code = f"import sys, envs, training.config; envs.make('alfworld'); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_our_own_packages_are_in_place():
    check_packages()


def test_a_package_that_hides_ours_is_named(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        check_packages(home=tmp_path)
    assert str(REPOSITORY / "envs") in str(caught.value)
    with pytest.raises(InputError, match="'no_such_package' is not installed"):
        check_packages(("no_such_package",))


def test_a_foreign_package_stops_a_command_with_one_line(tmp_path: Path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").touch()
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(REPOSITORY)!r}]; sys.argv = ['envs.list']; "
        "import runpy; runpy.run_module('envs.list', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"'agents' is hidden by another project's package at {tmp_path / 'agents'}" in done.stderr
    assert done.stderr.count("\n") == 1
