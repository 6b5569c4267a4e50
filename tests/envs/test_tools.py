"""The small commands: list, check, play and bench, run in this process."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from envs import bench, check, list, play
from envs.command import run_command
from envs.contract import CHECKS
from envs.types import Info
from tests.envs.corridor import Corridor

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


class Crashing(Corridor):
    """Fails in a way of its own."""

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        raise ZeroDivisionError("[red] is no mark-up")


def test_check_goes_on_after_a_crash(capsys: pytest.CaptureFixture[str]):
    argv = ["env=tests.envs.test_tools:Crashing", "tasks=1"]
    assert run_command("check", check.CheckConfig, check.main, description="", argv=argv) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "raised ZeroDivisionError: [red]" in said
    assert said.count("kept") == 3


def test_play_by_hand_until_the_input_ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\ngo right\n"))
    argv = [f"env={WORLD}", "task=train-0"]
    assert run_command("play", play.PlayConfig, play.main, description="", argv=argv) == 0
    said = capsys.readouterr().out
    assert "You can: go right" in said
    assert "You are in room 1." in said
    assert "Left after 1 turns." in said


def play_by_hand(capsys: pytest.CaptureFixture[str], lines: str, *argv: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(lines))
        assert run_command("play", play.PlayConfig, play.main, description="", argv=[*argv]) == 0
    return capsys.readouterr().out


def test_take_turns_back(capsys: pytest.CaptureFixture[str]):
    said = play_by_hand(capsys, "undo\ngo right\ngo right\nundo\ngo left\nquit\n", f"env={WORLD}", "task=train-0")
    rooms = [line for line in said.splitlines() if line.startswith(("You are", "There is"))]
    assert rooms == [
        "You are in room 0.",
        "There is nothing to take back.",
        "You are in room 1.",
        "You are in room 2.",
        "You are in room 1.",
        "You are in room 0.",
    ]
    assert said.endswith("Left after 2 turns.\n")


def test_the_turn_that_ended_it_can_be_taken_back(capsys: pytest.CaptureFixture[str]):
    argv = [f"env={WORLD}", "task=train-1", "env.max_turns=1", "env.length=2"]
    said = play_by_hand(capsys, "go left\nundo\ngo right\n", *argv)
    assert "That was the end." in said
    assert said.endswith("(reward 1)\nWon after 1 turns.\n")
    assert play_by_hand(capsys, "go left\n", *argv).endswith("Not won after 1 turns.\n")


def test_hints_are_those_of_an_expert_that_saw_the_whole_episode(capsys: pytest.CaptureFixture[str]):
    hinting = "tests.envs.test_tools:Counted"
    said = play_by_hand(capsys, "hint\ngo right\ngo left\nhint\n", f"env={hinting}", "task=train-0")
    assert "The oracle would say: go right (1)" in said
    assert "The oracle would say: go right (3)" in said
    said = play_by_hand(capsys, "hint\n", "env=tests.envs.test_contract:Sums")
    assert "This world has no expert to ask." in said


class Counter:
    """Says at which of its turns it is."""

    turns = 0

    def act(self, text: str, info: Info) -> str:
        self.turns += 1
        return f"go right ({self.turns})"


class Counted(Corridor):
    """Has an oracle that counts."""

    players = {"oracle": lambda env, seed: Counter()}  # noqa: RUF012


class Hinter(Corridor):
    """Has a command of its own that is one of the program's words."""

    def _commands(self) -> list[str]:
        return ["hint"]

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        return ("It whispers.", *super().step("wait")[1:])


def test_a_command_of_the_world_comes_first(capsys: pytest.CaptureFixture[str]):
    assert "It whispers." in play_by_hand(capsys, "hint\n", "env=tests.envs.test_tools:Hinter")


def test_answers_of_several_lines(capsys: pytest.CaptureFixture[str]):
    said = play_by_hand(capsys, "I think\nright\n.\n\nhalf", "env=tests.envs.test_contract:Sums", "task=train-0")
    assert "You are in room 1." in said
    assert "Any text is an answer here" in said
    assert said.endswith("Left after 1 turns.\n")


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


def test_bench_says_what_its_seconds_are(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    for world, said, kind, least in (
        (WORLD, "of processor time", "processor", 0.0),
        ("tests.envs.test_timing:Elsewhere", "that pass", "time that", 0.005),
    ):
        out = tmp_path / "figures.json"
        assert run_bench(f"env={world}", f"out={out}", "player=oracle", "batch=0", "env.length=2") == 0
        assert f"seconds {said}" in capsys.readouterr().out
        figures = json.loads(out.read_text())
        assert figures["time"].startswith(kind)
        assert figures["each"]["step"] >= least
    assert next(iter(figures["parts"])) == "asking"


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


@pytest.mark.parametrize(
    ("out", "line"),
    [
        ("/nowhere/at/all/figures.json", "there is no folder /nowhere/at/all"),
        ("{folder}", "{folder} is a folder; a file is needed"),
        ("{folder}/file/figures.json", "there is no folder {folder}/file"),
    ],
)
def test_bench_refuses_at_once_what_cannot_be_written(
    out: str, line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "file").touch()
    assert run_bench(f"env={WORLD}", f"out={out.format(folder=tmp_path)}") == 2
    said = capsys.readouterr()
    assert line.format(folder=tmp_path) in said.err
    assert said.out == ""


def test_bench_whose_figures_the_system_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    out = tmp_path / ("x" * 300)
    assert run_bench(f"env={WORLD}", f"out={out}") == 1
    assert capsys.readouterr().err == f"error: cannot write {out}: File name too long.\n"
