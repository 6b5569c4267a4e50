"""`evals.compare` as a user calls it, on real small evaluations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from envs.command import run_command
from evals import compare, run
from evals.comparison import compare as compared

WORLD = ("env=sokoban_tiny", "tasks=40")


def evaluate(out: Path, *words: str) -> Path:
    argv = (*WORLD, *words, f"out={out}")
    assert run_command("evals", run.EvalConfig, run.main, description="", argv=argv) == 0
    return out


def call(*words: str) -> int:
    return run_command("compare", compare.CompareConfig, compare.main, description="", argv=words)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    evaluate(folder / "oracle", "policy=oracle")
    evaluate(folder / "random", "policy=random")
    evaluate(folder / "random three", "policy=random", "seeds=0,1,2")
    evaluate(folder / "pacing three", "policy=pacing", "seeds=0,1,2")
    evaluate(folder / "elsewhere", "policy=random", "seed=1")
    return folder


def won(folder: Path) -> list[int]:
    rows = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    return [sum(row["won"] for row in rows if row["task"] == task) for task in tasks]


def test_two_policies(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "below" / "comparison.json"
    assert call(f"a={made / 'oracle'}", f"b={made / 'random'}", f"out={out}") == 0
    said = " ".join(capsys.readouterr().out.split())
    expected = compared(won(made / "oracle"), won(made / "random"))
    assert expected.difference > 0.3
    (found,) = json.loads(out.read_text())["comparisons"]
    assert (found["a"], found["b"]) == ("oracle", "random")
    assert (found["difference"], found["p"]) == (expected.difference, expected.p)
    assert found["interval"] == list(expected.interval)
    assert found["better"] - found["worse"] == round(40 * expected.difference)
    assert sum(kind["tasks"] for kind in found["by_type"].values()) == 40
    kinds = found["by_type"].values()
    assert max(kind["p"] for kind in kinds) <= 1
    assert all(kind["better"] + kind["worse"] <= kind["tasks"] for kind in kinds)
    assert "oracle did better than random: oracle minus random is +" in said
    assert "power: to see a difference of 3 points you need" in said
    assert "panel: sokoban-valid-seed0, 40 tasks, sha256" in said


def test_several_seeds_and_equal_names(made: Path, capsys: pytest.CaptureFixture[str]):
    assert call(f"a={made / 'random three'}", f"b={made / 'random three'}") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Which is better was not resolved: the success of a (random) minus that of b (random) is +0.0 points" in said
    assert "40 tasks, 3 seeds" in said
    assert "No bootstrap: fewer than 10 tasks" in said
    assert "No single kind of task tells them apart" in said
    assert call(f"a={made / 'pacing three'}", f"b={made / 'random three'}") == 0
    assert "pacing did better than random" in capsys.readouterr().out


def test_other_turns_are_said(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    evaluate(tmp_path / "short", "policy=oracle", "env.max_turns=2")
    capsys.readouterr()
    assert call(f"a={made / 'oracle'}", f"b={tmp_path / 'short'}") == 0
    assert "note: env.max_turns is 8 for a (oracle) and 2 for b (oracle)." in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused_in_one_line(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    content = json.loads((made / "random" / "score.json").read_text())
    (unfinished / "score.json").write_text(json.dumps(content | {"finished": False}))
    (unfinished / "episodes.jsonl").write_text("")
    for a, b, line in (
        (made / "oracle", made / "elsewhere", "the evaluations are of other tasks: the sha256 of their panels differ"),
        (made / "oracle", made / "random three", "was played with 1 seeds and random with 3. Give both as many."),
        (made / "oracle", tmp_path / "nowhere", "is no folder of evals.run: it has no score.json and episodes.jsonl."),
        (unfinished, made / "oracle", "is not finished; the command that made it goes on with it."),
        (made / "oracle", "", "b= is missing: give the folders of two evaluations, a=DIR b=DIR."),
    ):
        capsys.readouterr()
        assert call(f"a={a}", f"b={b}") == 2
        said = capsys.readouterr().err
        assert line in said
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("score.json", None, "[]", "is not an evaluation's score as Keystone writes it"),
        (
            "score.json",
            '"policy"',
            '"player"',
            "score as Keystone writes it (KeyError: 'policy')",
        ),
        ("score.json", '"panel"', '"tasks"', "score as Keystone writes it (KeyError: 'panel')"),
        (
            "score.json",
            '"options"',
            '"choices"',
            "score as Keystone writes it (KeyError: 'options')",
        ),
        ("score.json", '"tasks": 40', '"tasks": 41', "not every one of its 41 tasks has an episode of each of 1 seeds"),
        ("episodes.jsonl", '"temperature"', '"heat"', "is not a file of episodes as Keystone writes it"),
        (
            "episodes.jsonl",
            '"temperature": null',
            '"temperature": "warm"',
            "is not a file of episodes as Keystone writes it",
        ),
        ("episodes.jsonl", None, "", "not every one of its 40 tasks has an episode of each of 1 seeds"),
        ("episodes.jsonl", '"task": "', '"task": "x', "are of other tasks, though their panels have one hash"),
    ],
)
def test_a_broken_evaluation_is_refused_in_one_line(
    file: str, old: str | None, new: str, line: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = shutil.copytree(made / "random", tmp_path / "broken")
    text = (broken / file).read_text()
    assert old is None or old in text
    (broken / file).write_text(new if old is None else text.replace(old, new, 1))
    assert call(f"a={made / 'oracle'}", f"b={broken}") == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
