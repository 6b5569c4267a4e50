"""`evals.interference out=DIR`: what is kept, how it goes on, and names that look like markup."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from envs.command import run_command
from evals.interference import InterferenceConfig, main
from tests.evals.test_delta import write
from tests.training.guessing import Guess, write_model

TASKS = 6


class Interrupted(Guess):
    """Guessing with a Ctrl-C at step number `at`."""

    steps, at = 0, -1

    def step(self, action: str) -> Any:
        Interrupted.steps += 1
        if Interrupted.steps == Interrupted.at:
            signal.raise_signal(signal.SIGINT)
        return super().step(action)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    write_model(tmp_path / "model", 3)
    files = [write(tmp_path / "run[bold]" / "a.safetensors", 0), write(tmp_path / "y" / "b.safetensors", 2)]
    asked = [f"policy={tmp_path / 'model'}", "policy.max_reply_tokens=4", f"panel_tasks={TASKS}", "device=cpu"]
    return ["env=tests.evals.test_interference:Interrupted", *asked, f"deltas={','.join(map(str, files))}"]


def call(*words: str) -> int:
    return run_command("interference", InterferenceConfig, main, description="", argv=words)


def rows(out: Path) -> list[tuple[str, str, bool]]:
    found = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    return [(row["arm"], row["task"], row["won"]) for row in found]


def test_a_stopped_scoring_goes_on(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Interrupted.steps, Interrupted.at = 0, -1
    assert call(*words, f"out={whole}") == 0
    said = capsys.readouterr().out
    assert "0 (run[bold])" in said
    assert len(rows(whole)) == len(set(rows(whole))) == 4 * TASKS
    assert "Together minus the sum of the gains alone" in (whole / "log.txt").read_text()
    steps = Interrupted.steps
    Interrupted.steps, Interrupted.at = 0, steps // 2
    assert call(*words, f"out={parts}") == 130
    assert "stopped. The same command goes on." in capsys.readouterr().out
    assert 0 < len(rows(parts)) < 4 * TASKS
    assert not json.loads((parts / "score.json").read_text())["finished"]
    with (parts / "episodes.jsonl").open("a") as file:
        file.write('{"arm": "bas')  # as a kill leaves it
    Interrupted.steps, Interrupted.at = 0, -1
    assert call(*words, f"out={parts}") == 0
    assert 0 < Interrupted.steps < steps
    assert sorted(rows(parts)) == sorted(rows(whole))
    first, second = (json.loads((out / "score.json").read_text()) for out in (whole, parts))
    assert {**first, "cost": 0} == {**second, "cost": 0}
    assert (first["finished"], [score["arm"] for score in first["scores"]]) == (
        True,
        ["base", "0 (run[bold])", "2 (y)", "together"],
    )
    Interrupted.steps = 0
    assert call(f"config={parts / 'config.yaml'}", f"out={parts}") == 0
    assert Interrupted.steps == 0


def test_other_weights_or_another_panel_are_another_scoring(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    Interrupted.at = -1
    assert call(*words, f"out={out}") == 0
    kept = {file.name: file.read_bytes() for file in out.iterdir()}
    assert call(*words, "seed=1", f"out={out}") == 2
    assert "holds another evaluation: its seed is 0, here it is 1" in capsys.readouterr().err
    shutil.copy(write(tmp_path / "other" / "b.safetensors", 1), tmp_path / "y" / "b.safetensors")
    assert call(*words, f"out={out}") == 2
    assert "holds another evaluation: its scored." in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in out.iterdir()} == kept
