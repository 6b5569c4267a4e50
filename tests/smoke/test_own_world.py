"""The world in the README: its text is written to a file in a folder of the user's, and the real commands take it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs.installation import REPOSITORY
from tests.calling import call
from tests.training.guessing import write_model

pytestmark = pytest.mark.timeout(1200)

# The repository stands in for an installed Keystone.
HOME = {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}


def readme_world() -> str:
    """The code block of the section "Your own world"."""
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("\n## Your own world\n")[1]
    return section.split("```python\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own")
    (made / "boxes.py").write_text(readme_world(), encoding="utf-8")
    write_model(made / "model", 3)
    return made


def run(folder: Path, command: str, *words: str, typed: str = "") -> str:
    """Calls a command in the user's folder. Returns what it prints."""
    done = call(command, "env=boxes:Boxes", *words, folder=folder, typed=typed, seconds=900, **HOME)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_has_thirty_lines():
    assert len([line for line in readme_world().splitlines() if line.strip()]) <= 30


def test_it_keeps_the_contract(folder: Path):
    said = run(folder, "envs.check")
    assert "broken" not in said
    assert said.count("kept") == 12


def test_it_is_played_by_hand(folder: Path):
    said = run(folder, "envs.play", typed="sing\nundo\n\n")
    assert said.count("A coin is in one of the boxes.") == 2
    assert "You can: open box 0; open box 1; open box 2; open box 3" in said


def test_it_is_trained_and_evaluated(folder: Path):
    small = ["panel_tasks=4", "tuning_tasks=2", "train.groups=2", "train.group_size=2", "layer=1"]
    model = ["model=model", "model.max_reply_tokens=4"]
    run(folder, "training.run", *model, *small, "iterations=1", "out=trained", "device=cpu")
    summary = json.loads((folder / "trained" / "summary.json").read_text())
    assert summary["env"] == "boxes:Boxes"
    assert summary["arms"]["layer"]["iterations"] == 1
    scored = ["policy=model", "delta=trained/delta.safetensors", "policy.max_reply_tokens=4", "tasks=4"]
    assert "with the delta of layer 1" in run(folder, "evals.run", *scored, "temperatures=[0]", "device=cpu")
    assert "random, scripted" in run(folder, "evals.run", "policy=random", "tasks=4")
