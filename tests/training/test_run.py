"""The main job through its real command line: its files, repeated, stopped and resumed, offline, and given bad input.

The world is one that a random model wins now and then, so that there is something to learn from the first update on.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agents import deltas
from agents.blocks import find_stack
from agents.policies.transformers import load
from envs.config import load as load_config
from envs.installation import REPOSITORY
from evals.viewer import PAGE
from tests import calling, forked
from tests.calling import environment, offline
from tests.envs.alfworld import tiny
from tests.forked import Forked
from tests.training.events import read_events, told
from tests.training.guessing import write_model
from tests.training.results import same
from training.arms import train
from training.card import CARD
from training.config import RunConfig
from training.folder import CONFIG, DELTA, EPISODES, LAYERS, LOG, METRICS, REPORT, STATE, SUMMARY, RunFolder
from training.prepare import check, load_model, open_run

# Whole runs, in processes of their own: seconds each, but much more where the machine is busy.
pytestmark = pytest.mark.timeout(1200)

BLOCKS = 8
ITERATIONS = 4


def call(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    if "PYTHONPATH" in changes:
        return calling.call("training.run", *words, **changes)
    return forked.run("training.run", *words, env=environment(**changes))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all test processes of this session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def model_folder(shared: Path) -> Path:
    with (shared / "model.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "model" / "model.safetensors").is_file():
            write_model(shared / "model", BLOCKS)
    return shared / "model"


@pytest.fixture(scope="session")
def words(model_folder: Path) -> list[str]:
    return [
        "env=tests.training.guessing:Guess",
        f"model={model_folder}",
        "model.max_reply_tokens=4",
        f"iterations={ITERATIONS}",
        # In so short a run the signs cost more than the training.
        "budget=100",
        "panel_tasks=16",
        "tuning_tasks=4",
        "train.groups=3",
        "train.group_size=4",
        "train.updates=2",
        "train.learning_rate=1e-2",
        "train.full_learning_rate=1e-3",
        "train.beta=0.01",
        "train.warmup_updates=3",
    ]


@pytest.fixture(scope="session")
def straight(shared: Path, words: list[str]) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = shared / "straight"
    with (shared / "straight.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            done = call(*words, f"out={folder}")
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith(f"run folder: {folder}\n")
            assert done.stdout.splitlines()[0] == (folder / LOG).read_text().splitlines()[0]
    return folder


def test_a_run_writes_every_file(straight: Path):
    named = {CONFIG, METRICS, EPISODES, LAYERS, DELTA, CARD, SUMMARY, REPORT, LOG, "tensorboard"}
    assert {path.name for path in straight.iterdir()} == named | {STATE, PAGE}
    summary = json.loads((straight / SUMMARY).read_text())
    assert set(summary["arms"]) == {"base", "layer", "full"}
    assert summary["layer"]["selector"] == "auto"
    assert summary["panel"]["tasks"] == 16
    healthy = {"skipped_updates": 0, "rolled_back": [], "found": {}}
    assert summary["watch"] == {"layer": healthy, "full": healthy}
    metrics = list(RunFolder(straight).rows(METRICS))
    assert [(row["arm"], row["iteration"]) for row in metrics] == [
        (arm, iteration) for arm in ("layer", "full") for iteration in range(ITERATIONS)
    ]
    for row in metrics:
        assert {"success", "reward", "zero_groups", "loss", "learning_rate", "cost"} <= set(row)
        assert not any("second" in name or "bytes" in name for name in row)
        assert sum(row["task_success"]) / len(row["task_success"]) == pytest.approx(row["success"])
        assert row["episodes"] % len(row["task_success"]) == 0
    layers = json.loads((straight / LAYERS).read_text())
    assert layers["chosen"] == summary["layer"]["indices"]
    assert [block["index"] for block in layers["blocks"]] == list(range(BLOCKS))
    assert layers["tasks"]["tasks"] == 16
    assert len(layers["tasks"]["sha256"]) == 64
    episodes = list(RunFolder(straight).rows(EPISODES))
    tuned = [(row["arm"], row["temperature"]) for row in episodes if row["purpose"] == "tuning"]
    assert tuned == [(arm, t) for arm in ("base", "layer", "full") for t in (0.0, 0.4, 1.0) for _ in range(4)]
    panel = [row for row in episodes if row["purpose"] == "panel"]
    assert [row["arm"] for row in panel] == ["base"] * 16 + ["layer"] * 16 + ["full"] * 16
    assert all(row["turns"] for row in panel)
    sampled = [turn for row in episodes if row["purpose"] == "training" for turn in row["turns"]]
    assert sampled
    assert all({"anchor", "advantage"} <= set(turn) for turn in sampled)
    for arm, content in summary["arms"].items():
        assert content["success"] == sum(row["won"] for row in panel if row["arm"] == arm) / 16
    tasks = {row["task"] for row in panel}
    assert len(tasks) == 16
    trained = {row["task"] for row in RunFolder(straight).rows(EPISODES) if row["purpose"] == "training"}
    assert trained
    assert not tasks & trained
    _, card = deltas.load(straight / DELTA)
    shown = (straight / CARD).read_text()
    for part in (card.base_sha256, card.tensors_sha256, summary["panel"]["sha256"], "python -m training.run env="):
        assert part in shown
    log = (straight / LOG).read_text()
    assert "panel at temperature" in log
    assert "success on 16 tasks" in log
    assert str(straight / REPORT) in log.replace("\n", "")
    assert f"iteration {ITERATIONS}/{ITERATIONS}: success" in log
    for phrase in ("scores of the blocks", "update time a token, of full's", "compute floor of that"):
        assert phrase in log


def policy_bytes(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: value.detach().numpy().tobytes() for name, value in model.state_dict().items()}


def test_the_delta_on_the_base_is_the_policy_that_was_trained(straight: Path, model_folder: Path, tmp_path: Path):
    base, _ = load(str(model_folder))
    untouched = policy_bytes(base)
    tensors, card = deltas.load(straight / DELTA)
    deltas.verify(base, tensors, card)
    originals = deltas.apply(base, tensors)
    applied = policy_bytes(base)
    (chosen,) = json.loads((straight / LAYERS).read_text())["chosen"]
    prefix = find_stack(base).prefix(chosen)
    assert {name for name in applied if applied[name] != untouched[name]} == set(tensors)
    assert set(tensors) == {name for name in applied if name.startswith(prefix)}
    deltas.revert(base, originals)
    assert policy_bytes(base) == untouched
    # The same arm trained once more, here: its weights come from the optimizer and never went through a delta.
    config = load_config(RunConfig, [f"config={straight / CONFIG}", f"layer={chosen}"])
    inputs = check(config)
    run = open_run(inputs, load_model(inputs), RunFolder.create(tmp_path / "again"), echo=False)
    from agents.targets import Target

    train(run, "layer", Target((chosen,)))
    assert policy_bytes(run.model) == applied


def test_a_saved_configuration_repeats_the_run_and_nothing_leaves_the_machine(straight: Path, tmp_path: Path):
    variables = offline(tmp_path / "offline")
    done = call(f"config={straight / CONFIG}", f"out={tmp_path / 'again'}", **variables)
    assert done.returncode == 0, done.stderr
    assert not Path(variables["ATTEMPTS"]).exists(), Path(variables["ATTEMPTS"]).read_text()
    same(straight, tmp_path / "again")


def test_the_offline_guard_guards(tmp_path: Path):
    variables = offline(tmp_path / "offline")
    code = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')"
    done = subprocess.run([sys.executable, "-c", code], env=environment(**variables), capture_output=True, check=False)
    assert done.returncode == 1
    assert "127.0.0.1" in Path(variables["ATTEMPTS"]).read_text()


def test_real_rules_and_the_shipped_policy_offline(tmp_path: Path):
    """The main job as it is judged, smallest possible: every part runs once, in ALFWorld."""
    if not (REPOSITORY / "agents/pretrained/tiny/model.safetensors").is_file():
        pytest.skip("agents/pretrained/tiny is not there: make it with python -m training.warmstart")
    variables = offline(tmp_path / "offline")
    options = [
        "iterations=1",
        "budget=100",
        "train.groups=1",
        "train.group_size=4",
        "train.updates=1",
        "panel_tasks=4",
        "tuning_tasks=2",
    ]
    done = call(
        "env=alfworld",
        "data=generated",
        "env.max_turns=4",
        "layer=auto",
        *options,
        f"out={tmp_path / 'run'}",
        HOME=str(tmp_path),
        **variables,
    )
    assert done.returncode == 0, done.stderr
    assert not Path(variables["ATTEMPTS"]).exists(), Path(variables["ATTEMPTS"]).read_text()
    summary = json.loads((tmp_path / "run" / SUMMARY).read_text())
    assert summary["layer"]["selector"] == "auto"
    assert set(summary["arms"]) == {"base", "layer", "full"}
    assert "generated household games" in done.stdout


def rows_of(folder: Path, arm: str) -> int:
    return sum(row["arm"] == arm for row in RunFolder(folder).rows(METRICS))


def stop_in(folder: Path, arguments: Sequence[str], arm: str) -> subprocess.CompletedProcess[str]:
    """Starts the command and presses Ctrl-C once an arm's first iteration is done."""
    out, err = folder.with_suffix(".out"), folder.with_suffix(".err")
    process = Forked("training.run", arguments, out, err, environment())
    deadline = time.monotonic() + 600
    while rows_of(folder, arm) == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    code = process.wait(600)
    return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def test_a_stopped_run_goes_on_to_the_same_result(straight: Path, words: list[str], tmp_path: Path):
    folder = tmp_path / "stopped"
    stopped = stop_in(folder, [*words, f"out={folder}"], "layer")
    assert stopped.returncode == 130, stopped.stderr
    assert f"resume={folder}" in stopped.stdout.replace("\n", "")
    assert stopped.stderr == ""
    assert not (folder / SUMMARY).exists()
    assert 0 < rows_of(folder, "layer") < ITERATIONS
    # A kill may also cut a line short: the next start sweeps it away.
    with (folder / METRICS).open("a") as file:
        file.write('{"arm": "layer", "itera')
    again = stop_in(folder, [f"resume={folder}"], "full")
    assert again.returncode == 130, again.stderr
    assert 0 < rows_of(folder, "full") < ITERATIONS
    resumed = call(f"resume={folder}")
    assert resumed.returncode == 0, resumed.stderr
    same(straight, folder)
    for arm in ("layer", "full"):
        rows = [row for row in RunFolder(folder).rows(METRICS) if row["arm"] == arm]
        assert read_events(folder / "tensorboard" / arm) == [(row["iteration"], told(row)) for row in rows]


def test_a_run_does_not_go_on_upon_other_weights(straight: Path, model_folder: Path, tmp_path: Path):
    folder, changed = tmp_path / "run", tmp_path / "model"
    shutil.copytree(straight, folder)
    shutil.copytree(model_folder, changed)
    base, _ = load(str(changed))
    next(iter(base.parameters())).data.add_(1.0)
    base.save_pretrained(changed)
    config = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(config.replace(f"path: {model_folder}", f"path: {changed}"))
    assert str(changed) in (folder / CONFIG).read_text()
    done = call(f"resume={folder}")
    assert done.returncode == 2
    assert "the run's base changed since it began" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_does_not_go_on_upon_other_contents_of_its_panel(straight: Path, tmp_path: Path):
    folder = tmp_path / "run"
    shutil.copytree(straight, folder)
    state, summary = (json.loads((folder / name).read_text()) for name in (STATE, SUMMARY))
    assert state["inputs"]["panel content"] == summary["panel"]["content_sha256"] != ""
    state["inputs"]["panel content"] = "0" * 64
    (folder / STATE).write_text(json.dumps(state))
    done = call(f"resume={folder}")
    assert done.returncode == 2
    assert "the run's panel content changed since it began, from '0000" in done.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bad(tmp_path: Path, model_folder: Path) -> dict[str, str]:
    """Folders with something wrong in them, by name."""
    weightless = tmp_path / "weightless"
    weightless.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (weightless / name).write_bytes((model_folder / name).read_bytes())
    cut = tmp_path / "cut"
    cut.mkdir()
    for file in model_folder.iterdir():
        (cut / file.name).write_bytes(file.read_bytes())
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:2000])
    holed = tmp_path / "holed"
    shutil.copytree(model_folder, holed)
    tensors = load_file(holed / "model.safetensors")
    del tensors["model.layers.3.mlp.down_proj.weight"]
    save_file(tensors, holed / "model.safetensors", metadata={"format": "pt"})
    game = tiny.write(
        tmp_path / "games" / "json_2.1.1" / "train" / "pick_and_place_simple-Mug-None-Desk-1" / "trial_T1"
    )
    game.write_text(game.read_text()[:300])
    other = tmp_path / "other"
    other.mkdir()
    (other / CONFIG).write_text("seed: 7\n")
    return {name: str(tmp_path / name) for name in ("weightless", "cut", "holed", "games", "other")} | {
        "model": str(model_folder)
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["env=alfwold"], "unknown env 'alfwold'. Did you mean 'alfworld'?"),
        (["no_such_key=1"], "unknown key 'no_such_key'"),
        (["model={model}", "context=windw:2"], "context=windw:2 is not known. Give full, or window:K"),
        (["model={model}", "layer=99"], "layer=99: the model has 8 blocks"),
        (["model={model}", "layer=middel"], "layer=middel names no layer"),
        (["iterations=-1"], "iterations must be a whole number of at least 0, got '-1'"),
        (["model={model}", "train.updates=7"], "train.updates=7"),
        (["model={model}", "train.beta1=1"], "train.beta1 must be"),
        (["model={model}", "env=tests.training.guessing:Guess", "env.split=test"], "env.split=test is the split that"),
        (["model={model}", "seed=4294967296"], "seed must be"),
        (["model={model}", "data=/nowhere/at/all"], "data=/nowhere/at/all: there is no such folder"),
        (["model={model}", "data={games}"], "game.tw-pddl"),
        (["model={weightless}"], "has no weights"),
        (["model={cut}"], "cannot be loaded"),
        (["model={holed}"], "its weights lack 1 tensors, for example model.layers.3.mlp.down_proj.weight"),
        (["model=/nowhere/at/all"], "no such folder"),
        (["model={model}", "out={other}"], "already holds another run"),
        (["resume={games}"], "no run there"),
        (["resume={other}", "iterations=3"], "leave out 'iterations=3'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_nothing_is_written(bad: dict[str, str], tmp_path: Path, words: list[str], line: str):
    given = [word.format(**bad) for word in words]
    generated = [] if any(word.startswith(("data=", "env=", "resume=")) for word in given) else ["data=generated"]
    out = [] if any(word.startswith(("out=", "resume=")) for word in given) else [f"out={tmp_path / 'out'}"]
    before = files(tmp_path)
    done = call(*given, *generated, *out, HOME=str(tmp_path / "home"), KEYSTONE_CACHE=str(tmp_path.parent / "cache"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert line in done.stderr
    assert files(tmp_path) == before
    assert not (tmp_path / "out").exists()
