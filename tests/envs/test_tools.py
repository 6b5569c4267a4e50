"""The small commands: list, check, play and bench, run in this process."""

from __future__ import annotations

import io

import pytest

from envs import bench, check, list, play
from envs.command import run_command

WORLD = "tests.envs.corridor:Corridor"


def test_list_names_every_environment(capsys: pytest.CaptureFixture[str]):
    assert run_command("list", list.ListConfig, list.main, description="", argv=[]) == 0
    said = capsys.readouterr().out
    assert "alfworld" in said
    assert "keystone/ALFWorld-v0" in said


def test_check_prints_a_row_for_each_rule_and_fails_on_a_broken_one(capsys: pytest.CaptureFixture[str]):
    assert run_command("check", check.CheckConfig, check.main, description="", argv=[f"env={WORLD}"]) == 0
    assert capsys.readouterr().out.count("kept") == 7
    broken = "env=tests.envs.test_contract:Restless"
    assert run_command("check", check.CheckConfig, check.main, description="", argv=[broken]) == 1
    assert "a finished episode" in capsys.readouterr().out


def test_play_by_hand_until_the_input_ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\ngo right\n"))
    argv = [f"env={WORLD}", "task=train-0"]
    assert run_command("play", play.PlayConfig, play.main, description="", argv=argv) == 0
    said = capsys.readouterr().out
    assert "You can: go right" in said
    assert "You are in room 1." in said
    assert "Left after 1 turns." in said


def test_watch_a_player(capsys: pytest.CaptureFixture[str]):
    argv = [f"env={WORLD}", "player=oracle", "task=train-0", "env.length=2"]
    assert run_command("play", play.PlayConfig, play.main, description="", argv=argv) == 0
    assert capsys.readouterr().out.endswith("(reward 1)\nWon after 2 turns.\n")


@pytest.mark.parametrize("command", [play, bench])
def test_an_unknown_player_is_refused(command, capsys: pytest.CaptureFixture[str]):
    schema = play.PlayConfig if command is play else bench.BenchConfig
    argv = [f"env={WORLD}", "player=orcle"]
    assert run_command("tool", schema, command.main, description="", argv=argv) == 2
    assert "Did you mean 'oracle'?" in capsys.readouterr().err


def test_bench_counts_what_it_times(capsys: pytest.CaptureFixture[str]):
    from tests.envs.corridor import Corridor

    timing = bench.measure(Corridor(length=1), "oracle", 7, 0)
    assert (timing.resets, timing.steps, timing.won) == (7, 7, 7)
    assert timing.step_seconds > 0
    argv = [f"env={WORLD}", "episodes=3"]
    assert run_command("bench", bench.BenchConfig, bench.main, description="", argv=argv) == 0
    assert "3 episodes" in capsys.readouterr().out
