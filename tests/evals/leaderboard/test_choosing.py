"""The panel of what names none: one of the committed tables of its world, whatever the run itself was scored on."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from envs import presets
from envs.command import run_actions
from envs.command import run_command as evaluate
from envs.config import load
from envs.errors import InputError
from envs.installation import REPOSITORY
from evals import run
from evals.leaderboard import adding, committed, references, scoring, sources
from evals.leaderboard.__main__ import ACTIONS, PROGRAM
from evals.leaderboard.database import read
from evals.leaderboard.entries import Entry
from evals.leaderboard.ranking import table_key

KEPT_CODE = references.RUNS / "code-layer5-seed0"
PLAYERS = [
    ("env=alfworld", "alfworld_generated_unseen"),
    ("env=code", "code-test-seed0"),
    ("env=math", "math-test-seed0"),
    ("env=math_hard", "math-test-seed0"),
    ("env=scienceworld", "scienceworld_test"),
    ("env=sokoban", "sokoban_generated"),
    ("env=sokoban_tiny", "sokoban-valid-seed0"),
    ("env=sokoban_hard", "sokoban_generated"),
    ("env=textworld", "textworld_cooking"),
    ("env=textworld_tiny", "textworld-valid-seed0"),
    ("env=webshop", "webshop_generated"),
]
RUNS = {
    "alfworld-layer3-seed0": "alfworld_generated_unseen",
    "code-layer5-seed0": "code-test-seed0",
    "math-layer7-seed0": "math-test-seed0",
    "scienceworld-layer3-seed0": "scienceworld-dev-seed0",
    "sokoban-layer3-seed0": "sokoban-valid-seed0",
    "textworld-layer3-seed0": "textworld-valid-seed0",
    "webshop-layer3-seed0": "webshop_generated",
}


@pytest.fixture(autouse=True)
def unplayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries name files from the repository's folder, and every panel is lost without being played."""

    def lose(job: scoring.Job, folder: Path) -> scoring.Scored:
        tasks = len(job.panel.tasks)
        facts = {
            "env": job.config.env.name,
            "options": json.loads(json.dumps(job.options)),
            "panel": job.panel.as_json(),
            "policy": job.config.policy.name,
            "temperatures": [job.temperature],
            "max_reply_tokens": getattr(job.config.policy, "max_reply_tokens", None),
            "cost": {},
        }
        for card in map(sources.card, scoring.delta_files(job.config)):
            facts |= {"base_sha256": card["base_sha256"], "delta_sha256": card["tensors_sha256"]}
        score = {"success": 0.0, "interval": [0.0, 0.5], "episodes": tasks, "tasks": tasks, "by_type": {}}
        score |= {"mean_turns": None, "invalid_actions": None, "mean_tokens": None}
        return scoring.Scored(facts, list(job.seeds), [0] * tasks, score, folder)

    monkeypatch.setattr(scoring, "play", lose)
    monkeypatch.chdir(REPOSITORY)


def add(folder: Path, *words: str) -> Entry:
    assert run_actions(PROGRAM, ACTIONS, description="", argv=["add", *words, f"db={folder / 'board.sqlite'}"]) == 0
    return read(folder / "board.sqlite")[-1].entry


def peers(entry: Entry) -> int:
    return sum(table_key(other) == table_key(entry) for other in committed.entries())


def other_seed(name: str, folder: Path) -> Path:
    """A kept run as one of another seed, that was scored on the panel which this seed draws."""
    shutil.copytree(references.RUNS / name, folder / "run")
    file = folder / "run" / "summary.json"
    summary = json.loads(file.read_text())
    panel = {"name": f"{summary['env']}-valid-seed1", "tasks": 50, "sha256": "0" * 64}
    file.write_text(json.dumps(summary | {"seed": 1, "panel": panel}))
    return folder / "run"


def test_every_world_with_entries_is_tried():
    worlds = Counter(panel["env"] for panel in committed.panels())
    assert worlds.keys() == {words.partition("=")[2].partition("_")[0] for words, _ in PLAYERS}
    assert {presets.read_yaml(path / "config.yaml")["env"]["name"] for path in map(references.RUNS.joinpath, RUNS)} == {
        presets.read_yaml(path.parent / "config.yaml")["env"]["name"] for path in references.RUNS.glob("*/config.yaml")
    }


@pytest.mark.parametrize(("world", "panel"), PLAYERS)
def test_a_policy_of_any_world_stands_among_its_entries(
    world: str, panel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    made = add(tmp_path, "policy=random", world)
    assert made["panel"]["name"] == panel
    said = capsys.readouterr().out
    assert f"panel {panel}: {peers(made)} entries that come with Keystone stand there" in said
    assert "panel=NAME chooses another" in said
    assert peers(made) >= 2


@pytest.mark.parametrize("panel", ["code-test-seed0", "sokoban-valid-seed0", "scienceworld-dev-seed0"])
def test_a_drawn_panel_that_entries_stand_on_is_chosen_by_its_name(panel: str, tmp_path: Path):
    made = add(tmp_path, "policy=random", f"panel={panel}")
    assert made["panel"]["name"] == panel
    assert peers(made) >= 5


def test_a_delta_alone_finds_the_start_that_is_kept(tmp_path: Path):
    """Its card says `warm`, which names another policy on every machine."""
    alone = tmp_path / "mine.safetensors"
    shutil.copy(references.RUNS / "math-layer7-seed0" / "delta.safetensors", alone)
    made = add(tmp_path, str(alone))
    assert made["policy"] == "evals/results/studies/math-grpo/start"
    assert (made["panel"]["name"], made["sampling"]["max_reply_tokens"]) == ("math-test-seed0", 128)


@pytest.mark.parametrize(("run", "panel"), RUNS.items())
def test_a_run_of_another_seed_stands_among_its_worlds_entries(
    run: str, panel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    made = add(tmp_path, str(other_seed(run, tmp_path)))
    said = capsys.readouterr().out
    assert (made["panel"]["name"], made["kind"]) == (panel, "layer")
    # Where the panel is drawn with the kept run's own seed, this delta is the kept one.
    kept = any(committed.scored(other) == committed.scored(made) for other in committed.entries())
    assert f"of {peers(made) + (not kept)} on {panel}" in said
    assert peers(made) >= 6
    assert "panel= with nothing its own" in said


def test_a_run_on_fewer_tasks_of_the_boards_seed_stands_on_the_boards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # The panel that it was scored on has the board's name, and other tasks.
    run = other_seed("sokoban-layer3-seed0", tmp_path)
    summary = json.loads((run / "summary.json").read_text())
    summary |= {"seed": 0, "panel": summary["panel"] | {"name": "sokoban-valid-seed0"}}
    (run / "summary.json").write_text(json.dumps(summary))
    assert peers(add(tmp_path, str(run))) == 6
    assert "on sokoban-valid-seed0, another panel" in capsys.readouterr().out


def test_a_run_of_harder_levels_plays_its_worlds_panel_as_others_did(tmp_path: Path):
    run = other_seed("sokoban-layer3-seed0", tmp_path)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("boxes: 1", "boxes: 2").replace("max_turns: 8", "max_turns: 100"))
    made = add(tmp_path, str(run))
    assert (made["panel"]["name"], made["sampling"]["max_turns"], peers(made)) == ("sokoban_generated", 30, 6)


@pytest.mark.parametrize("typed", [["tasks=12"], ["env.split=train"], ["tasks=12", "seed=5"]])
def test_a_panel_that_contradicts_what_was_typed_is_not_taken(typed: list[str], capsys: pytest.CaptureFixture[str]):
    assert adding.expand(["policy=random", "env=sokoban_tiny", *typed])[-len(typed) :] == typed
    assert not any(word.startswith("panel=") for word in adding.expand(["policy=random", "env=sokoban_tiny", *typed]))
    assert capsys.readouterr().out == ""
    # Turns make other scores of the same tasks.
    assert "panel=sokoban_generated" in adding.expand(["policy=random", "env=sokoban", "env.max_turns=9"])


def test_the_starting_policy_stays_that_of_the_runs_own_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    run = other_seed("sokoban-layer3-seed0", tmp_path)
    config = run / "config.yaml"
    kept = presets.read_yaml(config)["model"]["path"]
    config.write_text(config.read_text().replace(f"path: {kept}", "path: warm").replace("boxes: 1", "boxes: 2"))
    assert run_actions(PROGRAM, ACTIONS, description="", argv=["add", str(run), f"db={tmp_path / 'board.sqlite'}"]) == 2
    assert "Make it: python -m training.warmstart env=sokoban env.max_turns=8 env.boxes=2" in capsys.readouterr().err
    monkeypatch.setattr("evals.leaderboard.choosing.locate", lambda *_: str(REPOSITORY / kept))
    assert peers(add(tmp_path, str(run))) == 6


def test_a_panel_alone_says_its_world(tmp_path: Path):
    made = add(tmp_path, "policy=random", "panel=sokoban_generated")
    assert (made["env"], peers(made)) == ("sokoban", 6)
    with pytest.raises(InputError, match="is a panel of env=sokoban, not of env=code"):
        scoring.prepare(load(adding.AddConfig, adding.expand([f"source={KEPT_CODE}", "panel=sokoban_generated"])))


def test_an_entry_of_other_turns_says_how_to_stand_among_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    saved = tmp_path / "scored"
    words = ["policy=random", "panel=alfworld_generated_unseen"]
    assert evaluate("evals", run.EvalConfig, run.main, description="", argv=[*words, "batch=300", f"out={saved}"]) == 0
    capsys.readouterr()
    alone = add(tmp_path, str(saved))
    assert (alone["sampling"]["max_turns"], peers(alone)) == (50, 0)
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"\d\d entries played these tasks with env.max_turns=30, this one with env.max_turns=50: add env.max_turns=30 "
        "ranks it there",
        said.splitlines()[-1],
    )
    among = add(tmp_path, str(saved), "env.max_turns=30")
    assert peers(among) > 30
    assert "ranks it there" not in capsys.readouterr().out


def test_conditions_that_differ_are_named_with_their_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    add(tmp_path, "policy=random", "panel=webshop_generated", "env.option_bug=true", "env.max_turns=9")
    there, here = "env.max_turns=15 env.option_bug=false", "env.max_turns=9, env.option_bug=true"
    there_are = sum(other["panel"]["name"] == "webshop_generated" for other in committed.entries())
    said = capsys.readouterr().out
    assert f"{there_are} entries played these tasks with {there}, this one with {here}" in said


@pytest.mark.parametrize("path", sorted(references.RUNS.glob("*/summary.json")), ids=lambda path: path.parent.name)
def test_a_kept_run_is_the_entry_that_stands_there(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = str(path.parent.relative_to(REPOSITORY))
    made = add(tmp_path, run)
    (there,) = (other for other in committed.entries() if committed.scored(other) == committed.scored(made))
    assert made["name"] == there["name"]
    assert made["panel"].items() >= there["panel"].items()
    assert run in there["command"]
    assert f"of {peers(made)} on {made['panel']['name']}" in capsys.readouterr().out


def test_a_delta_stands_once_whatever_it_is_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = str((references.RUNS / "sokoban-layer3-seed0").relative_to(REPOSITORY))
    for words, name in ((["name=mine"], "mine"), ([], "mine"), (["name=other"], "other")):
        assert add(tmp_path, run, *words)["name"] == name
        assert "of 6 on sokoban-valid-seed0" in capsys.readouterr().out
        assert len(read(tmp_path / "board.sqlite")) == 1
    add(tmp_path, run, "temperatures=[1]")
    assert "of 7 on sokoban-valid-seed0" in capsys.readouterr().out
    assert len(read(tmp_path / "board.sqlite")) == 2


def test_the_readme_says_what_add_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("\n## How your delta ranks\n")[1]
    entered, had, *places = map(re.escape, section.split("```")[3].strip().splitlines())
    entered = entered.replace("leaderboard\\.sqlite", ".*")
    # Where it stands depends on the board, and nothing else does.
    shown = "\n".join([entered, had, *(re.sub(r"\d+", r"\\d+", line) for line in places)])
    run = other_seed("alfworld-layer3-seed0", tmp_path)
    summary = json.loads((run / "summary.json").read_text())
    panel = {"name": "alfworld-valid_unseen-seed0", "tasks": 12, "sha256": "0" * 64}
    summary["arms"]["layer"]["success"] = 0.55
    (run / "summary.json").write_text(json.dumps(summary | {"panel": panel}))
    add(tmp_path, str(run), "name=layer 3, GiGPO, seed 0")
    assert re.search(rf"^{shown}$", capsys.readouterr().out, re.MULTILINE)
