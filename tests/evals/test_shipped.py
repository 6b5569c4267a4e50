"""The policies that come with Keystone: each is what its card says, and plays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from agents.models import locate_model
from envs import presets
from envs.command import run_command
from evals import run

PATHS = {name: presets.read("model", name)["model"]["path"] for name in presets.names("model")}
SHIPPED = sorted(name for name, path in PATHS.items() if path.startswith("agents/pretrained/"))


def test_there_is_one_of_each_architecture():
    types = [json.loads(Path(locate_model(PATHS[name]), "config.json").read_text())["model_type"] for name in SHIPPED]
    assert sorted(types) == ["llama", "qwen2", "qwen3"]


@pytest.mark.parametrize("name", SHIPPED)
def test_its_card_tells_its_family_and_its_size(name: str):
    folder = Path(locate_model(PATHS[name]))
    shape = json.loads((folder / "warmstart.json").read_text())["config"]["shape"]
    assert json.loads((folder / "config.json").read_text())["model_type"] == shape.get("family", "qwen3")
    with safe_open(folder / "model.safetensors", "pt") as file:
        count = sum(file.get_tensor(key).numel() for key in file.keys())  # noqa: SIM118 - not a dictionary
    assert f"A language model of {count:,} parameters" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_it_plays_alfworld_a_little(name: str, tmp_path: Path):
    # A random player wins none of 100.
    words = (f"policy={name}", "data=generated", "tasks=24", "temperatures=[0]", f"out={tmp_path / 'scores'}")
    assert run_command("evals", run.EvalConfig, run.main, description="", argv=("env=alfworld", *words)) == 0
    rows = [json.loads(line) for line in (tmp_path / "scores" / "episodes.jsonl").read_text().splitlines()]
    assert len(rows) == 24
    assert 4 <= sum(row["won"] for row in rows) <= 20
