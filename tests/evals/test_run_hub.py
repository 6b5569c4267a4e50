"""`evals.run` with a policy of the hub, fetched by its own client from a server on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.installation import REPOSITORY
from tests.calling import call, environment
from tests.model_hub import ModelHub, serving

TINY = REPOSITORY / "agents" / "pretrained" / "tiny"
DELTA = "evals/results/leaderboard/runs/alfworld-layer3-seed0/delta.safetensors"
WORDS = ("env=alfworld", "data=generated", "tasks=4", "env.max_turns=6", "temperatures=[0]")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelHub]:
    """A hub with the shipped policy as `somebody/small`, and a cache with nothing in it."""
    with serving({"somebody/small": TINY}) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        for name in ("HF_HUB_CACHE", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield found


def rows(out: Path) -> list[dict[str, object]]:
    lines = (out / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "cost"} for line in lines]


def test_it_is_fetched_once_and_plays_as_the_same_files_in_a_folder(hub: ModelHub, tmp_path: Path):
    done = call("evals.run", "policy=somebody/small", f"delta={DELTA}", *WORDS, f"out={tmp_path / 'hub'}")
    assert done.returncode == 0, done.stderr
    assert f"the model somebody/small is fetched from {hub.url} into" in done.stderr
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(hub.fetched)
    here = call("evals.run", f"policy={TINY}", f"delta={DELTA}", *WORDS, f"out={tmp_path / 'folder'}")
    assert here.returncode == 0, here.stderr
    assert rows(tmp_path / "hub") == rows(tmp_path / "folder")
    again = call("evals.run", "policy=somebody/small", *WORDS, f"out={tmp_path / 'again'}")
    assert again.returncode == 0, again.stderr
    assert "is fetched from" not in again.stderr
    assert hub.fetched.count("model.safetensors") == 1


def test_it_is_of_the_type_that_its_configuration_says(tmp_path: Path):
    folder = tmp_path / "half"
    shutil.copytree(TINY, folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"dtype": "bfloat16"}))
    program = "from agents.models import *; announce_download('a/half'); print(choose_dtype('auto', 'a/half'))"
    with serving({"a/half": folder}) as found:
        home = environment(HF_ENDPOINT=found.url, HF_HOME=str(tmp_path / "home"))
        done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=home, capture_output=True, text=True)
    assert done.stdout == "torch.bfloat16\n", done.stderr


def test_a_model_that_the_hub_does_not_have(hub: ModelHub, tmp_path: Path):
    done = call("evals.run", "policy=somebody/nothing", *WORDS, f"out={tmp_path / 'scores'}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "somebody/nothing" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "scores").exists()
