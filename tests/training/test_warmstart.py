"""The warm start through its command: an ordinary model folder that loads, plays and learned something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ARGUMENTS = ["data=generated", "updates=12", "batch=4", "vocabulary_episodes=20", "min_phrase=5", "min_word=2"]
SHAPE = ["shape.blocks=2", "shape.hidden=16", "shape.mlp=16", "shape.heads=2", "shape.head_width=8"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training.warmstart", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


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
    assert record["demonstrations"] == 48
    assert record["command"].startswith("python -m training.warmstart data=generated")


@pytest.mark.parametrize(
    ("arguments", "named"), [(["updates=1"], "out= is missing"), (["out={file}", "updates=1"], "not an empty folder")]
)
def test_bad_folders_are_refused(arguments: list[str], named: str, tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = run(*(argument.format(file=tmp_path / "file") for argument in arguments))
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
