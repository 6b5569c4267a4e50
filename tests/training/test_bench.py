"""The benchmark: the real command at a small load, and that what it measures is the work it says."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.dialogue import Dialogue
from agents.targets import Target
from envs.command import run_command
from training.bench.__main__ import BenchConfig, main, targets_of
from training.bench.load import group_size, make_rows, measure, prompts, tokenizer
from training.bench.shapes import SHAPES, Shape, build
from training.floor import update_floor

SMALL = Shape("qwen3", 16, 4, 2, 1, 8, 24, 50, True)
LOAD = BenchConfig(rows=4, prompt_tokens=9, reply_tokens=5, rounds=1)
TRL = all(importlib.util.find_spec(name) for name in ("trl", "datasets"))


@pytest.mark.timeout(600)
def test_the_command_measures_every_target_beside_full_and_trl(tmp_path: Path):
    words = ["rows=4", "prompt_tokens=12", "reply_tokens=4", "rounds=1", f"out={tmp_path}", "layer=7,15"]
    run = subprocess.run(
        [sys.executable, "-m", "training.bench", *words], capture_output=True, text=True, timeout=500, check=False
    )
    assert run.returncode == 0, run.stderr
    content = json.loads((tmp_path / "bench.json").read_text())
    rows = {row["target"]: row for row in content["rows"]}
    ours = {"7", "15", "full", *(["lora:7"] if importlib.util.find_spec("peft") else [])}
    assert set(rows) == ours | ({"trl:7", "trl:7, stored"} if TRL else set())
    assert rows["full"]["ratio_to_full"] == rows["full"]["floor"] == 1.0
    assert rows["15"]["floor"] < rows["7"]["floor"] < 0.51
    assert rows["full"]["sync_bytes"] == 4 * content["parameters"]
    assert rows["7"]["sync_bytes"] == rows["15"]["sync_bytes"] < rows["full"]["sync_bytes"] / 16
    # Masters and two moments beside a model in float32: two more of each.
    assert rows["7"]["optimizer_bytes"] == 2 * rows["7"]["sync_bytes"]
    assert all(row["update_seconds"] > 0 and 0 < row["share_of_iteration"] < 1 for row in rows.values())
    assert all(target in run.stdout for target in rows)
    assert content["versions"]["torch"] == torch.__version__


def test_weights_are_put_back_and_frozen():
    model = build(SMALL, torch.float32, "cpu")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = measure(model, make_rows(LOAD, SMALL.vocabulary), Target((2,)), LOAD)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(value.requires_grad for value in model.parameters())
    assert found.forward_seconds + found.backward_seconds < found.update_seconds


@pytest.mark.parametrize(("rows", "updates"), [(6, 3), (7, 7), (2, 1), (10, 5)])
def test_any_rows_that_updates_divide_can_be_measured(rows: int, updates: int):
    config = dataclasses.replace(LOAD, rows=rows, updates=updates, epochs=1)
    assert rows % group_size(rows) == 0
    assert group_size(rows) > 1
    found = measure(build(SMALL, torch.float32, "cpu"), make_rows(config, SMALL.vocabulary), Target((2,)), config)
    assert found.update_seconds > 0


def test_prompts_are_as_long_as_they_are_said_to_be():
    dialogue = Dialogue(tokenizer(SMALL.vocabulary))
    assert {len(dialogue.opening(text, [])) for text in prompts(LOAD, SMALL.vocabulary)} == {LOAD.prompt_tokens}
    assert {len(row.row.tokens) for row in make_rows(LOAD, SMALL.vocabulary)} == {14}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_the_published_number_of_parameters(name: str):
    """In billions, as the model cards state them."""
    stated = {
        **{"qwen2.5-0.5b": 0.49, "qwen2.5-1.5b": 1.54, "qwen2.5-3b": 3.09, "qwen2.5-7b": 7.61},
        **{"qwen3-0.6b": 0.6, "qwen3-1.7b": 1.7, "qwen3-4b": 4.0, "qwen3-8b": 8.2},
        **{"llama-3.2-1b": 1.23, "llama-3.2-3b": 3.21},
    }
    model = build(SHAPES[name], torch.bfloat16, "meta")
    count = sum(parameter.numel() for parameter in model.parameters()) / 1e9
    if name in stated:
        assert count == pytest.approx(stated[name], rel=0.03)
    assert 0 < update_floor(model, Target((SHAPES[name].blocks // 2,)), 2, 2) < 0.6


def test_five_blocks_over_the_depth_unless_named():
    assert list(targets_of(BenchConfig(lora=False), 28)) == ["0", "7", "13", "21", "27", "full"]
    assert list(targets_of(BenchConfig(layer="middle", lora=False, full=False), 28)) == ["13"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model=qwen2.5-1.5"], "Did you mean 'qwen2.5-1.5b'"),
        (["layer=full"], "the benchmark measures blocks"),
        (["layer=40"], "the model has 16 blocks, numbered 0 to 15"),
        (["rows=5", "updates=2"], "updates=2 does not divide rows=5"),
    ],
)
def test_a_wrong_load_is_refused_in_one_line(words: list[str], line: str, capsys: Any):
    assert run_command("bench", BenchConfig, main, description="", argv=words) == 2
    assert line in capsys.readouterr().err
