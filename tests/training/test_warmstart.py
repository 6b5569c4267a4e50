"""The warm start through its command: an ordinary model folder that loads, plays and learned something."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from envs.config import load
from envs.errors import StorageError
from tests import forked
from tests.calling import command, environment
from training import prepare, warmstart
from training.config import RunConfig
from training.warmstart import WarmstartConfig, players_of

ARGUMENTS = [
    "data=generated",
    "updates=12",
    "check_tasks=8",
    "env.max_turns=10",
    "batch=4",
    "vocabulary_episodes=20",
    "min_phrase=5",
    "min_word=2",
]
SHAPE = ["shape.blocks=2", "shape.hidden=16", "shape.mlp=16", "shape.heads=2", "shape.head_width=8"]


# More than a command has.
pytestmark = pytest.mark.timeout(1200)
run = partial(forked.run, "training.warmstart")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("warmstart") / "model"
    done = run(*ARGUMENTS, *SHAPE, f"out={out}")
    assert done.returncode == 0, done.stderr
    return out


def test_the_folder_loads_and_plays(folder: Path):
    import envs
    from agents.policies.transformers import Sampling, TransformersPolicy, load
    from agents.rollout import rollout
    from agents.types import EpisodeKey

    model, tokenizer = load(str(folder))
    policy = TransformersPolicy(model, tokenizer, Sampling(1.0, 8))
    env = envs.make("alfworld", data="generated", max_turns=3)
    keys = [EpisodeKey(0, 0, task, 0) for task in env.sample_tasks(0, 2)]
    episodes = rollout(lambda: envs.make("alfworld", data="generated", max_turns=3), policy, keys)
    assert [len(episode.turns) for episode in episodes] == [3, 3]


def test_it_says_how_it_was_made(folder: Path):
    record = json.loads((folder / "warmstart.json").read_text())
    assert record["updates"] == 12
    assert 12 < record["demonstrations"] <= 48
    assert 0.0 <= record["success"] <= 1.0
    words = record["command"].split()
    assert words[2:6] == ["training.warmstart", "env=alfworld", "env.data=generated", "env.max_turns=10"]
    assert words[-1] == "shape.head_width=8"


def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path):
    out, err = tmp_path / "out", tmp_path / "err"
    # The log fits; the weights do not.
    full = {resource.RLIMIT_FSIZE: 6_000}
    words = [*ARGUMENTS, *SHAPE, "updates=1", f"out={tmp_path / 'model'}"]
    assert forked.Forked("training.warmstart", words, out, err, limits=full).wait(600) == 1
    said = err.read_text().splitlines()[-1]
    assert f"cannot write the starting policy {tmp_path / 'model'}: " in said
    assert "Traceback" not in err.read_text()


def test_another_family_is_one_key(tmp_path: Path):
    done = run(*ARGUMENTS, *SHAPE, "shape.family=llama", f"out={tmp_path / 'model'}")
    assert done.returncode == 0, done.stderr
    assert "model: LlamaForCausalLM, 2 blocks" in done.stdout
    assert "shape.family=llama" in json.loads((tmp_path / "model" / "warmstart.json").read_text())["command"]


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "file"):
        done = run(f"out={out}", "updates=1")
        assert done.returncode == 2
        assert "not an empty folder" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["env=math", "player=expert"], "unknown player 'expert'"),
        (["env=math", "env.split=valid"], "env.split=valid: the starting policy in the cache is cloned on train tasks"),
        (["env=tests.training.doors:Guess"], "no player to clone but random"),
    ],
)
def test_what_cannot_be_cloned_is_one_line(arguments: list[str], named: str, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path))
    done = run(*arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


SMALL = ["env=math", "updates=6", "vocabulary_episodes=40", "min_phrase=5", "min_word=2", "check_tasks=4", *SHAPE]


def test_without_a_folder_it_goes_into_the_cache_where_a_run_finds_it(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    first = run(*SMALL)
    assert first.returncode == 0, first.stderr
    assert "go on with: python -m training.run env=math model=warm layer=auto" in first.stdout
    (made,) = (tmp_path / "cache" / "warmstart").iterdir()
    again = run(*SMALL)
    assert "updates on" in first.stdout
    assert "updates on" not in again.stdout
    assert str(made) in again.stdout
    other = run(*SMALL, "seed=1")
    assert other.returncode == 2
    assert "made with other settings" in other.stderr
    words = ["env=math", "model=warm", "layer=1", "compare=none", "iterations=1", "panel_tasks=4", "tuning_tasks=4"]
    trained = forked.run("training.run", *words, "train.groups=2", f"out={tmp_path / 'run'}")
    assert trained.returncode == 0, trained.stderr
    assert "success on 4 tasks of math-test-seed0" in trained.stdout
    delta = tmp_path / "run" / "delta.safetensors"
    scored = forked.run("evals.run", "env=math", "policy=warm", "tasks=4", f"delta={delta}")
    assert scored.returncode == 0, scored.stderr
    assert "with the delta of layer 1" in scored.stdout


def test_a_run_makes_the_starting_policy_that_it_wants(tmp_path: Path, monkeypatch: Any, capsys: Any):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path))
    small = load(WarmstartConfig, SMALL)
    monkeypatch.setattr(prepare, "start_config", lambda config: small)
    config = load(RunConfig, ["env=math", "model=warm", "panel_tasks=4", "tuning_tasks=4", "iterations=1"])
    inputs = prepare.check(config)
    assert not Path(inputs.model_path).exists()
    prepare.make_start(config)
    assert "model=warm: env=math has no starting policy yet" in capsys.readouterr().out
    model = prepare.load_model(inputs).model
    assert model.config.num_hidden_layers == 2
    prepare.make_start(config)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, StorageError])
def test_a_warm_start_that_is_not_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: Any, given: bool, error: type[BaseException]
):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path))
    place = tmp_path / "warmstart"

    def stop(config: Any, players: Any, out: Path) -> None:
        (out / "model.safetensors").write_bytes(b"half")
        raise error("not finished")

    monkeypatch.setattr(warmstart, "_make", stop)
    config = load(WarmstartConfig, [*SMALL, *([f"out={place / 'mine'}"] if given else [])])
    for _ in range(2):
        with pytest.raises(error, match="not finished"):
            warmstart.make(config)
        assert list(place.iterdir()) == []


def test_sigterm_leaves_nothing_in_the_cache(tmp_path: Path):
    variables = environment(KEYSTONE_CACHE=str(tmp_path))
    words = command("training.warmstart", *ARGUMENTS, *SHAPE)
    with subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        # Its folder is there by then, and its workers are next.
        assert "cloned from its expert" in started.stdout.readline()
        assert len(list((tmp_path / "warmstart").iterdir())) == 1
        started.send_signal(signal.SIGTERM)
        _, errors = started.communicate(timeout=120)
    assert (errors, started.returncode) == ("stopped by SIGTERM.\n", 130)
    assert list((tmp_path / "warmstart").iterdir()) == []


@pytest.mark.parametrize(
    ("env", "players"),
    [
        ("alfworld", ("expert",)),
        ("math", ("oracle", "direct")),
        ("code", ("stepwise", "verbose", "verbose")),
        ("sokoban_tiny", ("oracle", "pacing")),
        ("webshop", ("expert",)),
    ],
)
def test_which_players_are_cloned_by_default(env: str, players: tuple[str, ...]):
    assert players_of(load(WarmstartConfig, [f"env={env}"])) == players
