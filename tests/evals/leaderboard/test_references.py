"""The committed entries: whole, on the panels as they are here, and as the studies' cells have them."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from envs.command import run_actions
from envs.config import load
from envs.installation import REPOSITORY
from envs.registry import make
from evals.leaderboard import committed, from_study, references
from evals.leaderboard.__main__ import ACTIONS, PROGRAM
from evals.leaderboard.entries import KINDS
from evals.panels import read
from evals.studies import read_cells
from training.cells import SweepConfig
from training.sweep import cells_of

STUDIES = sorted(path.name for path in references.STUDIES.iterdir() if any(path.glob("cells/[0-9]*.json")))


def test_every_committed_file_is_an_entry():
    found = committed.entries()
    assert {entry["kind"] for entry in found} >= {"random", "expert", "oracle", "base", "layer", "lora", "full"}
    assert {entry["kind"] for entry in found} <= set(KINDS)
    assert {panel["name"] for panel in committed.panels()} >= {"alfworld_generated_unseen", "alfworld_valid_seen"}


def test_no_entry_names_a_folder_of_the_machine_that_made_it():
    for path in committed.FOLDER.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert not any(mark in text for mark in ('"/', "=/", " /", "home/", "tmp/")), path


def test_entries_stand_on_the_panel_that_the_repository_has():
    rule = read("alfworld_generated_unseen")
    panel = rule.find(make(rule.env, **rule.options))
    found = [entry for entry in committed.entries() if entry["panel"]["name"] == rule.name]
    assert {entry["panel"]["sha256"] for entry in found} == {panel.sha256}


def test_seconds_of_an_entry_are_of_its_scoring():
    for entry in committed.entries():
        assert (entry["cost"]["seconds"] is None) == entry["command"].startswith(references.SWEEP)


def test_no_two_policies_of_a_panel_have_one_name():
    names = Counter((entry["panel"]["name"], entry["name"]) for entry in committed.entries())
    assert max(names.values()) == 1


@pytest.mark.parametrize("study", STUDIES)
def test_the_policy_that_a_study_started_from_stands_beside_it(study: str):
    base = next(row for row in read_cells(references.STUDIES / study) if row.get("arm") == "base")
    for name, panel in base["panels"].items():
        entries = [entry for entry in committed.entries() if entry["panel"]["name"] == name]
        assert panel["sha256"] in {entry["panel"]["sha256"] for entry in entries}
        assert base["base_sha256"] in {entry["base_sha256"] for entry in entries if entry["kind"] == "base"}


@pytest.mark.parametrize("study", STUDIES)
def test_entries_of_a_study_are_its_cells(study: str):
    folder = references.STUDIES / study
    cells = {row["cell"]: row for row in read_cells(folder)}
    made = from_study.entries(folder, references.SWEEPS[study])
    assert made
    for entry in made:
        arm = "full" if entry["kind"] == "full" else entry["layer"].replace(":", "_")
        cell = cells[f"{arm}-seed{entry['sampling']['seeds'][0]}"]
        won = cell["panels"][entry["panel"]["name"]]["wins"]
        assert "".join(map(str, entry["outcomes"])) == won
        assert entry["base_sha256"] == cell["base_sha256"]
        assert entry["training"]["trained_parameters"] == cell["trained_parameters"]
        # A cell's seconds hold its training; an entry's are those of scoring alone, which a cell does not know.
        assert cell["cost"]["seconds"] > cell["cost"]["update_seconds"]
        assert entry["cost"]["seconds"] is None
    arms = {(entry["layer"], entry["panel"]["name"]) for entry in made}
    for layer, panel in arms:
        seeds = {row["seed"] for row in cells.values() if row.get("arm") == (layer or "full")}
        assert {e["sampling"]["seeds"][0] for e in made if (e["layer"], e["panel"]["name"]) == (layer, panel)} == seeds


def test_an_entry_that_a_study_no_longer_gives_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    there = {path.name: path.read_bytes() for path in committed.FOLDER.glob("code_test_seed0_*.json")}
    shutil.copytree(committed.FOLDER / "episodes", tmp_path / "episodes")
    for name, content in there.items():
        (tmp_path / name.replace("5_best", "4_best")).write_bytes(content)
    references.main(load(references.ReferencesConfig, ["panels=[code-test-seed0]", f"out={tmp_path}"]))
    said = capsys.readouterr().out
    assert (
        "removed: code_test_seed0_layer_4_best_of_the_study_grpo_seed_1.json, which its study no longer gives" in said
    )
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.json")} == there


def test_the_line_of_a_studys_entry_makes_its_cell():
    for study in STUDIES:
        rates = {row["cell"]: row.get("learning_rate") for row in read_cells(references.STUDIES / study)}
        for entry in from_study.entries(references.STUDIES / study, references.SWEEPS[study]):
            words = entry["command"].removeprefix(references.SWEEP).split()
            config = load(SweepConfig, words)
            cells = cells_of(config)
            arm, seed = "full" if entry["kind"] == "full" else entry["layer"], entry["sampling"]["seeds"][0]
            assert {cell.seed for cell in cells} == {seed}
            (cell,) = (cell for cell in cells if cell.name == arm)
            train = config.train
            taken = cell.rate or (train.full_learning_rate if arm == "full" else train.learning_rate)
            assert taken == rates[f"{arm.replace(':', '_')}-seed{seed}"]
            assert len(cells) <= 3


def test_the_readme_shows_them(capsys: pytest.CaptureFixture[str]):
    assert run_actions(PROGRAM, ACTIONS, description="", argv=["export", "entries=committed"]) == 0
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("\n## Leaderboard\n")[1].split("\n## ")[0]
    said = capsys.readouterr().out
    assert said in section
    assert section.count("| place | policy |") == said.count("| place | policy |")
    assert section.count("Success in % with its 95 % interval.") == 1


def test_the_commands_in_the_readme_are_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("\n## Leaderboard\n")[1].split("\n## ")[0]
    lines = re.findall(r"python -m evals[.]leaderboard (\w+)([^`\n]*)", section)
    assert {action for action, _ in lines} == set(ACTIONS)
    for action, words in lines:
        given = [word.replace("NAME", "") for word in words.split() if word != "runs/mine"]
        load(ACTIONS[action].schema, given)


def test_kept_runs_are_whole():
    for run in (path.parent for path in references.RUNS.glob("*/summary.json")):
        assert {file.name for file in run.iterdir()} >= {"config.yaml", "summary.json", "delta.safetensors"}
        summary = json.loads((run / "summary.json").read_text())
        entries = [e for e in committed.entries() if str(run.relative_to(REPOSITORY)) in e["command"]]
        assert summary["panel"]["name"] in {entry["panel"]["name"] for entry in entries}
