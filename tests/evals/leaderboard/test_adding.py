"""`evals.leaderboard add` as a user calls it: a real run of a small random model, its delta, and scripted players."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from agents import deltas
from envs.command import run_actions, run_command
from evals import run
from evals.leaderboard import sources
from evals.leaderboard.__main__ import ACTIONS, PROGRAM
from evals.leaderboard.database import read
from evals.leaderboard.ranking import tables
from tests.evals.test_run import Eventful
from tests.training.guessing import write_model
from training.config import RunConfig
from training.run import main as train

WORLD = "env=tests.training.guessing:Guess"
DELTA = "run/delta.safetensors"
SMALL = ("train.groups=2", "train.group_size=2", "panel_tasks=6", "tuning_tasks=2", "iterations=1", "device=cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a finished run of it, and another model."""
    made = tmp_path_factory.mktemp("board")
    write_model(made / "model", 3)
    write_model(made / "other", 4)
    words = [WORLD, f"model={made / 'model'}", "model.max_reply_tokens=4", "layer=1", *SMALL, f"out={made / 'run'}"]
    assert run_command("training", RunConfig, train, description="", argv=words) == 0
    return made


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(folder / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> int:
    """Calls an action. The world of these runs is of a module, which whoever adds them names."""
    named = [WORLD] if any(word in ("run", DELTA, "scored 5") for word in words) and WORLD not in words else []
    return run_actions(PROGRAM, ACTIONS, description="", argv=[*words, *named])


def entries() -> list[dict[str, Any]]:
    return [dict(stored.entry) for stored in read(Path("leaderboard.sqlite"))]


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert call("add", *words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert entries() == []
    return said


def test_a_run_is_scored_again_on_its_own_panel(here: Path, capsys: pytest.CaptureFixture[str]):
    summary = json.loads((here / "run" / "summary.json").read_text())
    assert call("add", "run") == 0
    said = capsys.readouterr().out
    layer, cost = summary["arms"]["layer"], summary["cost"]
    rate = f"{100 * layer['success']:.1f} %"
    assert f"it said {rate} on this panel; scored again it has {rate}" in said
    assert "place 1 of 1" in said
    (made,) = entries()
    _, card = deltas.load(here / "run" / "delta.safetensors")
    assert made["panel"] == summary["panel"]
    assert (made["base_sha256"], made["delta_sha256"]) == (card.base_sha256, card.tensors_sha256)
    assert (made["kind"], made["layer"], made["algorithm"], made["name"]) == (
        "layer",
        "1",
        "gigpo",
        "layer 1, GiGPO, seed 0",
    )
    assert made["score"]["success"] == layer["success"]
    assert made["score"]["interval"] == layer["interval"]
    assert sum(made["outcomes"]) == layer["success"] * 6
    assert made["sampling"] == {
        "temperature": layer["temperature"],
        "seeds": [0],
        "max_turns": 3,
        "max_reply_tokens": 4,
    }
    training = made["training"]
    assert training["trained_parameters"] == layer["trained_parameters"]
    assert training["total_parameters"] == summary["arms"]["full"]["trained_parameters"]
    assert training["sync_bytes"] == cost["layer"]["sync_bytes"] == 4 * layer["trained_parameters"]
    assert training["update_ratio"] == (cost["update_ratio"] if cost["update_ratio"] >= cost["update_floor"] else None)
    assert training["delta_bytes"] == (here / "run" / "delta.safetensors").stat().st_size
    assert made["cost"]["hardware"]["cores"] >= 1
    assert made["cost"]["versions"]["torch"]


def test_the_command_of_an_entry_scores_it_again(here: Path, capsys: pytest.CaptureFixture[str]):
    assert call("add", "run") == 0
    (made,) = entries()
    words = shlex.split(made["command"])
    assert words[:3] == ["python", "-m", "evals.run"]
    assert run_command("evals", run.EvalConfig, run.main, description="", argv=[*words[3:], "out=again"]) == 0
    rows = [json.loads(line) for line in Path("again/episodes.jsonl").read_text().splitlines()]
    assert [int(row["won"]) for row in rows] == made["outcomes"]
    assert len(rows) == made["panel"]["tasks"]


@pytest.mark.parametrize(
    "words",
    [
        ("env=sokoban_tiny", "panel=", "env.split=train", "seeds=7"),
        ("env=sokoban_tiny", "panel=", "seed=3", "seeds=4,2"),
        (WORLD, "seeds=1", "policy.max_reply_tokens=4"),
    ],
)
def test_the_command_names_the_split_and_the_seeds(
    words: tuple[str, ...], here: Path, folder: Path, capsys: pytest.CaptureFixture[str]
):
    policy = "policy=random" if words[0] != WORLD else f"policy={folder / 'model'}"
    temperature = [] if policy == "policy=random" else ["temperatures=[1]"]
    assert call("add", *words, policy, *temperature, "tasks=12", "out=first") == 0
    (made,) = entries()
    line = shlex.split(made["command"])[3:]
    assert run_command("evals", run.EvalConfig, run.main, description="", argv=[*line, "out=again"]) == 0
    first, again = (json.loads(Path(out, "score.json").read_text()) for out in ("first", "again"))
    assert {name: value for name, value in again.items() if name != "cost"} == {
        name: value for name, value in first.items() if name != "cost"
    }


def test_a_delta_alone_is_scored_on_the_policy_that_its_card_names(here: Path):
    shutil.copy("run/delta.safetensors", "mine.safetensors")
    assert call("add", "mine.safetensors", WORLD, "tasks=5", "policy.max_reply_tokens=4", "name=my first") == 0
    (made,) = entries()
    assert (made["name"], made["panel"]["tasks"], made["sampling"]["temperature"]) == ("my first", 5, 0.0)
    assert made["training"]["trained_parameters"] * 4 == made["training"]["sync_bytes"]
    assert made["training"]["trained_parameters"] < made["training"]["total_parameters"]
    assert made["training"]["update_seconds"] is None


def test_the_delta_in_a_run_is_that_run_and_no_panel_is_its_own(here: Path):
    for words in (["run/delta.safetensors"], ["run", "panel="], ["run"]):
        assert call("add", *words) == 0
    (made,) = entries()
    assert made["training"]["iterations"] == 1


def test_trained_parameters_are_counted_in_the_delta(here: Path):
    summary = json.loads(Path("run/summary.json").read_text())
    trained = summary["arms"]["layer"]["trained_parameters"]
    summary["arms"]["layer"]["trained_parameters"] = 1
    Path("run/summary.json").write_text(json.dumps(summary))
    training = sources.read(Path("run"), WORLD.removeprefix("env=")).training
    assert training is not None
    assert training["trained_parameters"] == trained
    # LoRA's delta holds what its matrices were merged into.
    tensors, card = deltas.load(Path("run/delta.safetensors"))
    deltas.save(Path("lora.safetensors"), tensors, base_sha256=card.base_sha256, target="lora:1", details=card.details)
    shutil.copy("lora.safetensors", "run/delta.safetensors")
    for said, found in ((1, 1), (trained + 1, None)):
        summary["arms"]["layer"]["trained_parameters"] = said
        Path("run/summary.json").write_text(json.dumps(summary))
        training = sources.read(Path("run"), WORLD.removeprefix("env=")).training
        assert training is not None
        assert training["trained_parameters"] == found
    alone = sources.read(Path("lora.safetensors"), WORLD.removeprefix("env=")).training
    assert alone is not None
    assert alone["trained_parameters"] is None


def test_an_evaluation_is_scored_again(here: Path, folder: Path, capsys: pytest.CaptureFixture[str]):
    model = [WORLD, f"policy={folder / 'model'}", "delta=run/delta.safetensors", "policy.max_reply_tokens=4"]
    for words in (["env=sokoban_tiny", "policy=random"], [*model, "temperatures=[1,0]"]):
        out = f"scored {len(words)}"
        assert (
            run_command("evals", run.EvalConfig, run.main, description="", argv=[*words, "tasks=7", f"out={out}"]) == 0
        )
        capsys.readouterr()
        assert call("add", out) == 0
        before, made = json.loads(Path(out, "score.json").read_text()), entries()[-1]
        assert made["panel"] == before["panel"]
        assert made["score"]["success"] == before["scores"][-1]["success"]
        delta = Path(DELTA).stat().st_size if len(words) == 5 else None
        assert (made["training"] or {"delta_bytes": None})["delta_bytes"] == delta
    assert [(made["kind"], made["sampling"]["temperature"]) for made in entries()] == [("random", None), ("layer", 0.0)]
    shutil.copytree(folder / "other", "swapped")
    saved = Path("scored 5", "config.yaml")
    saved.write_text(saved.read_text().replace(str(folder / "model"), "swapped"))
    capsys.readouterr()
    assert call("add", "scored 5") == 2
    assert "the delta was made for base" in capsys.readouterr().err
    assert call("add", "scored 5", "delta=", "name=base alone") == 2
    assert "policy=swapped has weights of sha256" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["state.json", "summary.json"])
def test_a_runs_hashes_are_in_its_summary_and_were_in_its_state(
    here: Path, capsys: pytest.CaptureFixture[str], missing: str
):
    if missing == "state.json":
        Path("run/state.json").unlink()  # as of the runs that come with Keystone
    else:
        summary = json.loads(Path("run/summary.json").read_text())
        del summary["base_sha256"], summary["delta_sha256"]  # as an older Keystone wrote it
        Path("run/summary.json").write_text(json.dumps(summary))
    replace_delta()
    assert "the file was changed or belongs to another run" in refusal(capsys, "run")


def replace_delta() -> None:
    """Other weights for the same base, in the run's file."""
    tensors, card = deltas.load(Path(DELTA))
    other = {name: tensor + 1 for name, tensor in tensors.items()}
    deltas.save(Path(DELTA), other, base_sha256=card.base_sha256, target="1", details=card.details)


def test_a_layer_that_was_trained_anew_is_added_anew(here: Path, folder: Path):
    words = ("add", WORLD, f"policy={folder / 'model'}", f"delta={DELTA}", "policy.max_reply_tokens=4", "tasks=4")
    assert call(*words, "temperatures=[0]") == 0
    replace_delta()
    assert call(*words, "temperatures=[0]") == 0
    first, second = entries()
    assert first["delta_sha256"] != second["delta_sha256"]
    # Named as a policy with a delta it tells as much of its training as the file does by itself.
    assert second["training"]["trained_parameters"] == sources.elements(Path(DELTA))
    assert second["training"]["delta_bytes"] == Path(DELTA).stat().st_size


def test_adding_again_plays_nothing_and_says_so(here: Path, capsys: pytest.CaptureFixture[str]):
    assert call("add", "run") == 0
    (first,) = entries()
    (score,) = Path().glob("leaderboard.episodes/*/score.json")
    content = json.loads(score.read_text())
    content["cost"]["hardware"]["processor"] = "of another machine"
    score.write_text(json.dumps(content))
    capsys.readouterr()
    assert call("add", "run") == 0
    assert "All of these episodes are there already; nothing is played." in capsys.readouterr().out
    (again,) = entries()
    assert again["cost"]["hardware"]["processor"] == "of another machine"
    assert again["cost"]["seconds"] == first["cost"]["seconds"]


def test_a_world_of_another_project_is_not_imported_unasked(here: Path, capsys: pytest.CaptureFixture[str]):
    config = Path("run/config.yaml")
    config.write_text(config.read_text().replace(WORLD.removeprefix("env="), "antigravity_of_a_stranger:World"))
    assert run_actions(PROGRAM, ACTIONS, description="", argv=["add", "run"]) == 2
    said = capsys.readouterr().err
    assert "env=antigravity_of_a_stranger:World, code of another project" in said
    assert "name it yourself with env=." in said


def test_a_changed_delta_is_refused(here: Path, capsys: pytest.CaptureFixture[str]):
    replace_delta()
    assert "the file was changed or belongs to another run" in refusal(capsys, "run")
    content = bytearray(Path("run/delta.safetensors").read_bytes())
    content[-1] ^= 1
    Path("mine.safetensors").write_bytes(content)
    assert "do not match its checksum" in refusal(capsys, "mine.safetensors", WORLD, "policy.max_reply_tokens=4")


def test_another_base_is_refused(here: Path, folder: Path, capsys: pytest.CaptureFixture[str]):
    assert "the delta was made for base" in refusal(capsys, "run", f"policy={folder / 'other'}")
    shutil.copy("run/delta.safetensors", "mine.safetensors")
    said = refusal(capsys, "mine.safetensors", WORLD, f"policy={folder / 'other'}", "policy.max_reply_tokens=4")
    assert "the delta was made for base" in said
    summary = json.loads(Path("run/summary.json").read_text())
    Path("run/summary.json").write_text(json.dumps(summary | {"base_sha256": "0" * 64}))
    assert "but run names 000000000000. Give the base" in refusal(capsys, "run")
    assert not list(Path().glob("leaderboard.episodes/*/episodes.jsonl"))


def test_another_panel_of_the_same_name_is_refused(here: Path, capsys: pytest.CaptureFixture[str]):
    summary = json.loads(Path("run/summary.json").read_text())
    summary["panel"]["sha256"] = "0" * 64
    Path("run/summary.json").write_text(json.dumps(summary))
    assert "was scored on tasks of sha256 000000000000, those here have" in refusal(capsys, "run")


def test_other_contents_under_the_same_names_are_refused(here: Path, capsys: pytest.CaptureFixture[str]):
    summary = json.loads(Path("run/summary.json").read_text())
    known = summary["panel"]["content_sha256"]
    summary["panel"]["content_sha256"] = "0" * 64
    Path("run/summary.json").write_text(json.dumps(summary))
    said = refusal(capsys, "run")
    assert f"was scored on contents of tasks of sha256 000000000000, those here have {known[:12]}. Give" in said
    # A run of before contents were recorded.
    del summary["panel"]["content_sha256"]
    Path("run/summary.json").write_text(json.dumps(summary))
    assert call("add", "run") == 0
    assert entries()[0]["panel"]["content_sha256"] == known


def test_equal_names_of_different_questions_do_not_rank_together(here: Path, capsys: pytest.CaptureFixture[str]):
    for name, answers in (("one", (3, 5, 8)), ("two", (3, 5, 9))):
        rows = [json.dumps({"question": f"What is {answer}?", "answer": str(answer)}) for answer in answers]
        Path(name).mkdir()
        (Path(name) / "test.jsonl").write_text("\n".join(rows) + "\n")
    words = ("env=math", "policy=oracle", "panel=", "split=test", "tasks=3")
    for data in ("one", "two", "one"):
        assert call("add", *words, f"data={data}") == 0
    first, second = entries()
    assert first["panel"]["sha256"] == second["panel"]["sha256"]
    assert first["panel"]["content_sha256"] != second["panel"]["content_sha256"]
    assert [len(table) for table in tables([first, second])] == [1, 1]
    capsys.readouterr()
    assert call("show", "entries=own") == 0
    said = " ".join(capsys.readouterr().out.split())
    for each in (first, second):
        assert f"content {each['panel']['content_sha256'][:12]}" in said
    # What was scored on the one is not entered as scored on the other.
    evaluated = ["env=math", "policy=oracle", "split=test", "tasks=3", "data=one", "out=evaluated"]
    assert run_command("evals", run.EvalConfig, run.main, description="", argv=evaluated) == 0
    capsys.readouterr()
    assert call("add", "evaluated", "data=two") == 2
    assert "what you add was scored on contents of tasks of sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["."], "holds neither a run (summary.json) nor an evaluation (score.json)"),
        (["run", "panle=x"], "Did you mean 'panel'?"),
        (["run", "panel=alfworld_generated_unseen"], "is a panel of env=alfworld, not of env=tests."),
        (["run", "temperatures=[0,1]"], "an entry has one temperature"),
        (["run", "name=two\nlines"], "printable characters"),
        (["run/config.yaml"], "is not a safetensors file"),
        (["run/summary.json", "db=x"], "is not a safetensors file"),
        (["policy=expret"], "Did you mean 'expert'?"),
        (["polcy=expert"], "unknown key 'polcy'."),
        (
            ["panel=sokoban_boxoban", "policy=random", "env.max_turns=30"],
            "which panel=sokoban_boxoban replaces by its own",
        ),
        (["model.safetensors"], "but not a keystone-delta-1 file"),
    ],
)
def test_what_cannot_be_added_is_said_in_one_line(
    words: list[str], said: str, here: Path, folder: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copy(folder / "model" / "model.safetensors", "model.safetensors")
    assert said in refusal(capsys, *words)


def test_a_run_that_is_not_whole_is_refused(here: Path, capsys: pytest.CaptureFixture[str]):
    Path("run/delta.safetensors").unlink()
    assert "has no delta.safetensors" in refusal(capsys, "run")
    Path("run/summary.json").unlink()
    assert "has not ended. Go on with it: python -m training.run resume=run" in refusal(capsys, "run")


def test_a_file_that_is_no_database_is_refused_before_anything_is_played(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    Path("notes.txt").write_text("no database " * 400)
    capsys.readouterr()
    assert call("add", "run", "db=notes.txt") == 2
    assert "db=notes.txt is not a database" in capsys.readouterr().err
    assert not Path("notes.episodes").exists()


@pytest.mark.fault
def test_a_stopped_addition_enters_nothing_and_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    words = ("add", "env=tests.evals.test_run:Eventful", "env.length=60", "policy=random", "tasks=9", "batch=3")
    monkeypatch.setattr(Eventful, "steps", 0)
    monkeypatch.setattr(Eventful, "interrupt", 100)
    assert call(*words) == 130
    assert entries() == []
    (played,) = Path().glob("leaderboard.episodes/*/episodes.jsonl")
    before = played.read_text().splitlines()
    assert before
    monkeypatch.setattr(Eventful, "interrupt", -1)
    assert call(*words) == 0
    (made,) = entries()
    assert len(before) < made["score"]["episodes"] == len(played.read_text().splitlines())


def test_two_policies_of_one_panel_are_ranked(here: Path, capsys: pytest.CaptureFixture[str]):
    for player in ("oracle", "random"):
        assert call("add", "env=sokoban_tiny", f"policy={player}", "tasks=40", "seed=3") == 0
    assert "place 2 of 2" in capsys.readouterr().out
    assert [made["kind"] for made in entries()] == ["oracle", "random"]
    capsys.readouterr()
    assert call("add", "env=sokoban_tiny", "policy=random", "tasks=40", "seed=3") == 0
    assert "entered again" in capsys.readouterr().out
    assert len(entries()) == 2


def test_references_stand_beside_a_users_entry(here: Path, capsys: pytest.CaptureFixture[str]):
    # As many turns as the others on this panel had, without being told.
    assert call("add", "policy=random", "panel=alfworld_generated_unseen", "name=my guess") == 0
    said = capsys.readouterr().out
    assert re.search(r"^places \d+ to \d+ of \d+ on alfworld_generated_unseen$", said, re.MULTILINE)
    assert entries()[0]["sampling"]["max_turns"] == 30
    assert call("show", "panel=alfworld_generated_unseen") == 0
    shown = capsys.readouterr().out
    for name in ("my guess *", "expert", "oracle", "tiny", "*: yours"):
        assert name in shown
