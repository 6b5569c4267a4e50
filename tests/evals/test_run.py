"""`evals.run` as a user calls it: real small runs of scripted players and of a small random model."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from agents import deltas
from agents.policies.transformers import load as load_model
from envs import presets
from envs.command import run_command
from envs.config import load
from evals import compare, panels, run
from evals.statistics import wilson
from tests.agents.models import byte_tokenizer, model
from tests.envs.corridor import Corridor
from training.config import RunConfig
from training.prepare import check as check_run

FILES = {"config.yaml", "episodes.jsonl", "log.txt", "score.json"}


class Eventful(Corridor):
    """Corridors in which something happens: a Ctrl-C at turn number `interrupt`, an error in broken tasks or resets."""

    steps = 0
    interrupt = -1
    broken: tuple[str, ...] = ()
    resets = 0
    broken_reset = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        Eventful.resets += 1
        if Eventful.resets == Eventful.broken_reset:
            raise RuntimeError("no lamp")
        return super().reset(seed=seed, options=options)

    def step(self, action: str) -> Any:
        Eventful.steps += 1
        if Eventful.steps == Eventful.interrupt:
            signal.raise_signal(signal.SIGINT)
        if self.task in self.broken:
            raise RuntimeError("the lamp fell")
        return super().step(action)


WORLD = "env=tests.evals.test_run:Eventful"
SMALL = (WORLD, "env.length=60", "env.max_turns=4", "tasks=9", "device=cpu", "policy.max_reply_tokens=8")


@pytest.fixture(autouse=True)
def uneventful():
    Eventful.steps, Eventful.interrupt, Eventful.broken = 0, -1, ()
    Eventful.resets, Eventful.broken_reset = 0, -1


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two model folders with other random weights."""
    found = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"model-{seed}")
        model(seed=seed).save_pretrained(folder)
        byte_tokenizer().save_pretrained(folder)
        found.append(folder)
    return found


def evaluate(*words: str) -> int:
    return run_command("evals", run.EvalConfig, run.main, description="", argv=words)


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows without what equal ones may differ in."""
    found = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    assert all(set(row["cost"]) == {"seconds"} for row in found)
    return [{name: value for name, value in row.items() if name != "cost"} for row in found]


def agreed(out: Path) -> bytes:
    """The bytes that two evaluations of one configuration agree on."""
    return re.sub(rb', "cost": \{"seconds": [0-9.]+\}\}$', b"}", (out / "episodes.jsonl").read_bytes(), flags=re.M)


def score(out: Path) -> dict[str, Any]:
    return json.loads((out / "score.json").read_text())


def contents(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.iterdir()}


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert evaluate(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_scripted_player_on_generated_games(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    out = tmp_path / "expert"
    assert evaluate("policy=expert", "data=generated", "tasks=24", "seed=3", f"out={out}") == 0
    said = capsys.readouterr().out
    found, played = score(out), rows(out)
    panel = found["panel"]
    assert panel["tasks"] == len(played) == 24
    assert panel["sha256"] == panels.Panel("", tuple(row["task"] for row in played)).sha256
    hashes = f"sha256 {panel['sha256']}, of their content {panel['content_sha256']}"
    assert f"panel: alfworld-valid_unseen-seed3, 24 tasks, {hashes}\n" in said
    assert "data: generated household games, unseen rooms" in said
    won = sum(row["won"] for row in played)
    assert won > 18
    low, high = wilson(won, 24)
    (only,) = found["scores"]
    assert (only["temperature"], only["success"], only["interval"]) == (None, won / 24, [low, high])
    assert f"as scripted 24 {100 * won / 24:.1f} % {100 * low:.1f} to {100 * high:.1f} " in " ".join(said.split())
    assert all(f" {kind} " in said for kind in only["by_type"])
    assert sum(kind["episodes"] for kind in only["by_type"].values()) == 24
    assert max(map(len, said.split("all tasks")[1].split("kept in")[0].splitlines())) <= 80
    assert {file.name for file in out.iterdir()} == FILES
    assert panel["sha256"] in (out / "log.txt").read_text()


def test_real_games(alfworld_data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = ("panel=alfworld_valid_seen", f"data={alfworld_data}", f"out={tmp_path / 'oracle'}")
    assert evaluate("policy=oracle", *words) == 0
    assert "as scripted 140 100.0 % 97.3 to 100.0 " in " ".join(capsys.readouterr().out.split())
    assert {row["task"].split("/")[0] for row in rows(tmp_path / "oracle")} == {"valid_seen"}


def test_a_model_at_two_temperatures(folders: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    out = tmp_path / "out"
    assert (
        evaluate(*SMALL, f"policy={folders[0]}", "temperatures=[0,1]", "policy.max_reply_tokens=6", f"out={out}") == 0
    )
    said = capsys.readouterr().out
    assert "parameters, torch.float32 on cpu" in said
    assert "greedy" in said
    assert "temperature 1" in said
    assert [row["temperature"] for row in rows(out)] == [0.0] * len(rows(out)[::2]) + [1.0] * len(rows(out)[1::2])
    assert [each["temperature"] for each in score(out)["scores"]] == [0.0, 1.0]
    assert score(out)["finished"]
    greedy, sampled = ([row["turns"] for row in rows(out) if row["temperature"] == t] for t in (0.0, 1.0))
    assert greedy != sampled


def test_the_same_seed_gives_the_same_rows_whatever_the_batch(folders: list[Path], tmp_path: Path):
    for number, more in enumerate(("seed=1", "seed=1", "seed=2")):
        batch = f"batch={2 + 3 * number}"
        assert (
            evaluate(*SMALL, f"policy={folders[0]}", "temperatures=[1]", more, batch, f"out={tmp_path / str(number)}")
            == 0
        )
    assert rows(tmp_path / "0") == rows(tmp_path / "1")
    assert score(tmp_path / "0")["scores"] == score(tmp_path / "1")["scores"]
    assert score(tmp_path / "0")["panel"] != score(tmp_path / "2")["panel"]


@pytest.mark.fault
@pytest.mark.parametrize("policy", ["random", "model"])
def test_interrupted_and_continued_is_as_if_uninterrupted(
    policy: str, folders: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    words = (*SMALL, f"policy={folders[0] if policy == 'model' else policy}", "batch=3")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert evaluate(*words, f"out={whole}") == 0
    steps = Eventful.steps
    for interrupt in (steps * 2 // 5, steps // 3):
        Eventful.steps, Eventful.interrupt = 0, interrupt
        assert evaluate(*words, f"out={parts}") == 130
        assert "stopped. The same command goes on." in capsys.readouterr().out
        assert 0 < len(rows(parts)) < len(rows(whole))
        assert not score(parts)["finished"]
    seconds = score(parts)["cost"]["seconds"]
    Eventful.steps, Eventful.interrupt = 0, -1
    assert evaluate(*words, f"out={parts}") == 0
    assert 0 < Eventful.steps < steps
    assert agreed(parts) == agreed(whole)
    assert {**score(parts), "cost": 0} == {**score(whole), "cost": 0}
    assert score(parts)["cost"]["seconds"] > seconds


def test_a_stop_without_a_folder_says_how_to_be_able_to_go_on(capsys: pytest.CaptureFixture[str]):
    Eventful.interrupt = 3
    assert evaluate(*SMALL, "policy=random") == 130
    assert "stopped. Give out=DIR to be able to go on." in capsys.readouterr().out


@pytest.mark.fault
def test_a_row_that_a_kill_cut_off_is_played_again(tmp_path: Path):
    words = (*SMALL, "policy=random", f"out={tmp_path}")
    assert evaluate(*words) == 0
    before = agreed(tmp_path)
    lines = (tmp_path / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "episodes.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:50])
    (tmp_path / "score.json").write_text(json.dumps(score(tmp_path) | {"finished": False, "scores": []}))
    assert evaluate(*words) == 0
    assert agreed(tmp_path) == before
    assert score(tmp_path)["finished"]


def test_a_finished_evaluation_is_shown_again_and_not_played(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = (*SMALL, "policy=random", f"out={tmp_path}")
    assert evaluate(*words) == 0
    first, kept = capsys.readouterr().out, (tmp_path / "episodes.jsonl").read_bytes()
    Eventful.steps = 0
    assert evaluate(*words) == 0
    assert Eventful.steps == 0
    assert (
        first.split("all tasks")[1].split("episodes in")[0]
        == capsys.readouterr().out.split("all tasks")[1].split("episodes in")[0]
    )
    assert (tmp_path / "episodes.jsonl").read_bytes() == kept


def test_the_saved_configuration_runs_again(tmp_path: Path):
    assert evaluate(*SMALL, "policy=random", "seed=5", f"out={tmp_path / 'first'}") == 0
    assert evaluate(f"config={tmp_path / 'first' / 'config.yaml'}", f"out={tmp_path / 'again'}") == 0
    assert rows(tmp_path / "first") == rows(tmp_path / "again")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("seed=1", "seed is 0, here it is 1"),
        ("tasks=8", "panel.tasks is"),
        ("env.max_turns=5", "options.max_turns is 4, here it is 5"),
        ("policy=oracle", "policy is random, here it is oracle"),
        ("split=train", "options.split is test, here it is train"),
    ],
)
def test_a_folder_of_another_evaluation_is_refused(
    change: str, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    words = (*SMALL, "policy=random", f"out={tmp_path}")
    assert evaluate(*words) == 0
    before = contents(tmp_path)
    assert name in refusal(capsys, *words, change)
    assert contents(tmp_path) == before


def test_a_folder_of_other_weights_is_refused(folders: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    policy, out = tmp_path / "policy", tmp_path / "out"
    for folder in folders:
        policy.mkdir(exist_ok=True)
        for file in folder.iterdir():
            (policy / file.name).write_bytes(file.read_bytes())
        if not out.exists():
            assert evaluate(*SMALL, f"policy={policy}", "temperatures=[0]", f"out={out}") == 0
    before = contents(out)
    assert "its base_sha256 is" in refusal(capsys, *SMALL, f"policy={policy}", "temperatures=[0]", f"out={out}")
    assert contents(out) == before


def test_a_delta_gives_the_trained_policy(folders: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    base, _ = load_model(str(folders[0]))
    sha256 = deltas.base_fingerprint(base)
    names = [name for name, _ in base.named_parameters() if ".1." in name]
    with torch.no_grad():
        for name in names:
            base.get_parameter(name).mul_(1.5)
    tensors = {name: base.get_parameter(name) for name in names}
    deltas.save(tmp_path / "delta.safetensors", tensors, base_sha256=sha256, target="1", details={})
    trained = tmp_path / "trained model"
    base.save_pretrained(trained)
    byte_tokenizer().save_pretrained(trained)
    delta = f"delta={tmp_path / 'delta.safetensors'}"
    for out, words in {
        "base": (f"policy={folders[0]}",),
        "delta": (f"policy={folders[0]}", delta),
        "trained": (f"policy={trained}",),
    }.items():
        assert evaluate(*SMALL, "temperatures=[1]", *words, f"out={tmp_path / out}") == 0
    assert rows(tmp_path / "delta") == rows(tmp_path / "trained") != rows(tmp_path / "base")
    assert "with the delta of layer 1 from" in capsys.readouterr().out
    assert "its delta_sha256 is" in refusal(
        capsys, *SMALL, "temperatures=[1]", f"policy={folders[0]}", f"out={tmp_path / 'delta'}"
    )
    line = refusal(capsys, *SMALL, f"policy={folders[1]}", delta, f"out={tmp_path / 'other'}")
    assert "the delta was made for base" in line
    assert not (tmp_path / "other").exists()


def allowed(*players: str) -> str:
    return ", ".join(sorted({*players, *presets.names("model"), "endpoint"}))


EVERY_POLICY = allowed("expert", "oracle", "planner", "random")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["policy=expret"],
            f"unknown policy 'expret'. Did you mean 'expert'? Allowed: {EVERY_POLICY}.",
        ),
        ([WORLD, "policy=expert"], f"unknown policy 'expert'. Allowed: {allowed('oracle', 'random')}."),
        (["policy=./nowhere"], "policy=./nowhere: no such folder."),
        (["policy=expert", "delta=some.safetensors"], "policy=expert is a scripted player"),
        (["temperatures=[]"], "temperatures must be numbers of at least 0, got []"),
        (["temperatures=[0,-1]"], "temperatures must be numbers of at least 0, got [0.0, -1.0]"),
        (["temperatures=[.nan]"], "temperatures must be numbers of at least 0, got [nan]"),
        (["temperatures=0.4"], "temperatures must be a list such as [1,2] or null, got '0.4'"),
        (["panel=alfworld_valid"], "panel must be one of"),
        ([WORLD, "policy=oracle", "panel=alfworld_valid_seen"], "is a panel of env=alfworld, not of env=tests"),
        (["split=valid_sen"], "Did you mean 'valid_seen'?"),
        (["tasks=0"], "tasks must be a whole number from 1 to 1,000,000"),
    ],
)
def test_wrong_input_is_refused_and_nothing_is_written(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert line in refusal(capsys, "data=generated" if WORLD not in words else WORLD, *words, f"out={tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def save_delta(folder: Path, out: Path, block: int, factor: float) -> Path:
    base, _ = load_model(str(folder))
    sha256 = deltas.base_fingerprint(base)
    tensors = {name: factor * value.detach() for name, value in base.named_parameters() if f".{block}." in name}
    deltas.save(out, tensors, base_sha256=sha256, target=str(block), details={})
    return out


def test_several_deltas_play_as_a_committee(folders: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = (*SMALL, "temperatures=[1]", f"policy={folders[0]}")
    one = save_delta(folders[0], tmp_path / "1.safetensors", 1, 1.5)
    two = save_delta(folders[0], tmp_path / "2.safetensors", 2, 1.5)
    for out, more in {
        "one": (f"delta={one}",),
        "twice one": (f"delta={one},{one}",),
        "average": (f"delta={one},{two}",),
        "majority": (f"delta={one}, {two}", "vote=majority"),
        "majority of one": (f"delta={one},{one},{two}", "vote=majority"),
    }.items():
        assert evaluate(*words, *more, f"out={tmp_path / out}") == 0
    # With two votes against one, the third member's reply is never played.
    assert rows(tmp_path / "twice one") == rows(tmp_path / "majority of one") == rows(tmp_path / "one")
    assert rows(tmp_path / "average") != rows(tmp_path / "one")
    assert "a committee (majority) of the deltas of layers 1, 2, torch.float32" in capsys.readouterr().out
    called = [compare.read(str(tmp_path / name), "a").name.removeprefix(str(folders[0])) for name in ("one", "average")]
    assert called == [" with delta", " as a committee of 2 deltas"]
    line = refusal(capsys, *words, f"delta={one},{two}", "vote=majority", f"out={tmp_path / 'average'}")
    assert "its vote is average, here it is majority" in line
    assert "one of the files has no name" in refusal(capsys, *words, f"delta={one},", f"out={tmp_path / 'refused'}")
    (tmp_path / "layers 1,2").mkdir()
    comma = save_delta(folders[0], tmp_path / "layers 1,2" / "delta.safetensors", 1, 1.5)
    assert evaluate(*words, f"delta={comma}", f"out={tmp_path / 'comma'}") == 0
    assert rows(tmp_path / "comma") == rows(tmp_path / "one")
    other = save_delta(folders[1], tmp_path / "other.safetensors", 1, 1.5)
    line = refusal(capsys, *words, f"delta={one},{other}", f"out={tmp_path / 'refused'}")
    assert f"delta={other}: the delta was made for base" in line
    assert not (tmp_path / "refused").exists()


def test_a_missing_or_wrong_delta_is_refused(folders: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = (*SMALL, f"policy={folders[0]}", f"out={tmp_path / 'out'}")
    assert "no such file" in refusal(capsys, *words, f"delta={tmp_path / 'none'}")
    (tmp_path / "text").write_text("no delta")
    assert "not a readable delta file" in refusal(capsys, *words, f"delta={tmp_path / 'text'}")
    weights = folders[0] / "model.safetensors"
    assert "not a keystone-delta-1 file" in refusal(capsys, *words, f"delta={weights}")
    assert not (tmp_path / "out").exists()


def test_an_out_that_cannot_be_used_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "file").write_text("")
    words = (*SMALL, "policy=random")
    assert "is a file; a folder is needed" in refusal(capsys, *words, f"out={tmp_path / 'file'}")
    assert "holds other files, no evaluation" in refusal(capsys, *words, f"out={tmp_path}")
    assert "cannot be written" in refusal(capsys, *words, f"out={tmp_path / 'file' / 'below'}")


@pytest.mark.parametrize(
    ("words", "split"),
    [([], "test"), (["split=train"], "train"), (["split=test"], "test"), (["env.split=test"], "test")],
)
def test_tasks_come_from_the_evaluation_split_unless_another_is_named(words: list[str], split: str):
    config = load(run.EvalConfig, [*SMALL, "policy=random", *words])
    assert run.check(config).make_env.keywords["split"] == split


def test_a_run_of_the_same_seed_is_scored_on_the_same_panel():
    words = ["data=generated", "seed=4"]
    scored = run.check(load(run.EvalConfig, [*words, "policy=expert", "tasks=50"])).panel
    trained = check_run(load(RunConfig, [*words, "panel_tasks=50"])).panel
    assert scored == trained


def test_broken_episodes_are_counted_and_the_first_error_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = (*SMALL, "policy=random", f"out={tmp_path}")
    tasks = run.check(load(run.EvalConfig, words)).panel.tasks
    Eventful.broken = tasks[1:3]
    assert evaluate(*words) == 0
    said = capsys.readouterr().out
    assert f"The environment broke 2 episodes. Task {tasks[1]}: RuntimeError: the lamp fell" in said
    assert score(tmp_path)["scores"][0]["errors"] == 2


def test_a_world_that_fails_at_one_reset_leaves_a_whole_evaluation(
    folders: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    Eventful.broken_reset = 2
    assert evaluate(*SMALL, f"policy={folders[0]}", f"out={tmp_path}") == 0
    said = capsys.readouterr().out
    assert "The environment broke 1 episodes." in said
    assert "unknown" in said
    assert [found["errors"] for found in score(tmp_path)["scores"]] == [1, 0]


def test_episodes_that_outgrow_the_context_are_counted(folders: list[Path], tmp_path: Path):
    narrow = tmp_path / "narrow"
    model(context=40).save_pretrained(narrow)
    byte_tokenizer().save_pretrained(narrow)
    words = (*SMALL, "env.max_turns=20", f"policy={narrow}", "temperatures=[1]", f"out={tmp_path / 'out'}")
    assert evaluate(*words) == 0
    stops = [row["stop"] for row in rows(tmp_path / "out")]
    assert stops.count("context") == score(tmp_path / "out")["scores"][0]["context_stops"] > 0
