"""Names that nobody can have, given to a command: one line and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.command import run_command
from evals.delta import DeltaConfig
from evals.delta import main as delta
from evals.run import EvalConfig, main

LONG = "a" * 300


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["policy=~nosuchuser/x"], "error: policy=~nosuchuser/x: no such folder."),
        ([f"policy={LONG}/x"], "no such folder."),
        ([f"policy={LONG}"], "error: unknown policy"),
        (["policy=random", f"out={LONG}"], "cannot be the name of a file"),
        (["policy=random", f"out=x/{LONG}"], "error: out= 'x/aaa"),
    ],
)
def test_an_evaluation(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    arguments = ["env=frozen_lake", "tasks=2", *words]
    assert run_command("evals.run", EvalConfig, main, description="", argv=arguments) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert [file.name for file in tmp_path.rglob("*")] == ["x"]


def test_a_name_that_no_file_can_have(capsys: pytest.CaptureFixture[str]):
    assert run_command("evals.delta", DeltaConfig, delta, description="", argv=[f"delta={LONG}"]) == 2
    said = capsys.readouterr().err
    assert said == f"error: delta={LONG}: no such file.\n"
