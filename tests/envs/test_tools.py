"""The small commands: list, check, play and bench, run in this process."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from envs import bench, check, list, play
from envs.command import run_command
from envs.contract import CHECKS

WORLD = "tests.envs.corridor:Corridor"


def test_list_names_every_environment(capsys: pytest.CaptureFixture[str]):
    assert run_command("list", list.ListConfig, list.main, description="", argv=[]) == 0
    said = capsys.readouterr().out
    assert "alfworld" in said
    assert "keystone/ALFWorld-v0" in said


def test_check_prints_a_row_for_each_rule_and_fails_on_a_broken_one(capsys: pytest.CaptureFixture[str]):
    assert run_command("check", check.CheckConfig, check.main, description="", argv=[f"env={WORLD}"]) == 0
    assert capsys.readouterr().out.count("kept") == len(CHECKS)
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


def run_bench(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "SAMPLED_SECONDS", 0.2)
        argv = ["episodes=3", "batch=2", *words]
        return run_command("bench", bench.BenchConfig, bench.main, description="", argv=argv)


def test_bench_of_one_engine(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    out = tmp_path / "figures.json"
    assert run_bench(f"env={WORLD}", f"out={out}", "memory_episodes=10") == 0
    said = capsys.readouterr().out
    assert "load and reset" in said
    assert "of 3 episodes" in said
    assert "step, in a batch of 2" in said
    assert "resident memory" in said
    assert "reference" not in said
    figures = json.loads(out.read_text())
    assert figures["episodes"] == 3
    assert figures["each"]["step"] > 0
    assert figures["reference"] == figures["ratios"] == {}
    assert [row[0] for row in figures["memory"]] == [*range(11)]


def test_bench_beside_the_reference_engine(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    out = tmp_path / "figures.json"
    assert run_bench("env=tests.envs.test_timing:Slow", f"out={out}", "reference_episodes=2") == 0
    said = capsys.readouterr().out
    assert "said the same, to the last byte" in said
    assert "Target: 1,000 times as fast" in said
    assert "walking" in said
    figures = json.loads(out.read_text())
    assert figures["reference"]["step"] > 0.002
    assert figures["ratios"]["step"] == pytest.approx(figures["reference"]["step"] / figures["each"]["step"])
    assert run_bench("env=tests.envs.test_timing:Slow", "reference_episodes=0") == 0
    assert "reference" not in capsys.readouterr().out


def test_bench_fails_where_the_engines_differ(capsys: pytest.CaptureFixture[str]):
    assert run_bench("env=tests.envs.test_timing:Lying") == 1
    assert "said something else in 3 episodes" in capsys.readouterr().out


def test_bench_refuses_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str]):
    assert run_bench(f"env={WORLD}", "out=/nowhere/at/all/figures.json") == 2
    assert "there is no folder /nowhere/at/all" in capsys.readouterr().err
