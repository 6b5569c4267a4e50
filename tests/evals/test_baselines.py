"""The table of baselines: every world found, the missing ones named, intervals that fit the counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import envs
from envs import registry
from envs.command import run_command
from envs.errors import MissingExtraError
from envs.pool import Pool, PoolConfig
from envs.types import Info
from evals.baselines import BaselinesConfig, main, measure, prepare
from evals.statistics import wilson
from tests.envs.corridor import Corridor

HERE = int(os.environ.setdefault("KEYSTONE_TEST_PROCESS", str(os.getpid())))
WORLD = "tests.envs.corridor:Corridor"


class Absent(Corridor):
    """A world whose packages are missing."""

    def __init__(self, **options: object) -> None:
        raise MissingExtraError("the absent world needs a package. Install: pip install 'keystone-rl[absent]'")


class Broken(Corridor):
    """A world that fails when it is made."""

    def __init__(self, **options: object) -> None:
        1 / 0  # noqa: B018 - meant to fail


class Tripping(Corridor):
    """A world that fails at the first step."""

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        raise RuntimeError("tripped")


class Apart(Corridor):
    """A world that must not be played in this process."""

    in_process = False

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        assert os.getpid() != HERE
        return super().step(action)


def run(*argv: str) -> int:
    return run_command("baselines", BaselinesConfig, main, description="", argv=argv)


def test_each_player_is_counted():
    ticks: list[None] = []
    with Pool(PoolConfig(), print) as pool:
        world = prepare(WORLD, 20, 0, pool)
    assert (world.split, world.players) == ("test", ("random", "oracle"))
    assert sorted(world.panel.tasks) == ["test-0", "test-1", "test-2"]
    found = measure(world, 0, lambda: ticks.append(None))
    assert found["oracle"].success == 1.0
    assert found["oracle"].interval == wilson(3, 3)
    assert len(ticks) == 6
    assert measure(world, 0, lambda: None) == found


def test_a_world_that_is_missing_is_named_and_the_others_are_played(capsys: pytest.CaptureFixture[str]):
    assert run(f"envs=[{__name__}:Absent,{__name__}:Broken,{WORLD}]", "tasks=20") == 0
    said = capsys.readouterr().out
    assert (
        f"not played: {__name__}:Absent: the absent world needs a package. Install: pip install 'keystone-rl[absent]'"
        in said
    )
    assert f"not played: {__name__}:Broken: ZeroDivisionError: division by zero" in said
    assert "100.0 %" in said
    assert "43.9\N{EN DASH}100.0" in said
    assert "0/" not in said


def test_worlds_out_of_process_are_played_in_the_pool(capsys: pytest.CaptureFixture[str]):
    assert run(f"envs={__name__}:Apart", "tasks=20", "pool.workers=1", "pool.worlds=2") == 0
    said = capsys.readouterr().out
    assert "broken" not in said
    assert "43.9\N{EN DASH}100.0" in said


def test_broken_episodes_are_counted(capsys: pytest.CaptureFixture[str]):
    assert run(f"envs={__name__}:Tripping", "tasks=20") == 0
    assert "3 broken" in capsys.readouterr().out


def test_worlds_are_found_by_themselves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "corridor.py").write_text(f'ENVIRONMENT = "{WORLD}"\n')
    monkeypatch.setattr(registry, "_FOLDER", tmp_path)
    registry._shipped.cache_clear()
    try:
        assert envs.names() == ["corridor"]
        assert run("tasks=1") == 0
    finally:
        registry._shipped.cache_clear()
    assert "corridor" in capsys.readouterr().out


def test_an_unknown_world_is_refused(capsys: pytest.CaptureFixture[str]):
    assert run("envs=alfwrld") == 2
    assert "Did you mean 'alfworld'?" in capsys.readouterr().err
