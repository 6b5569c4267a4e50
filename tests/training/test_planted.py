"""Damaged blocks: what the damage is, and that the product's selector names one that the shipped policy has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from envs.command import run_command
from tests.training.guessing import small_model, write_model
from training import planted

# A whole selection on the shipped policy, much slower where the machine is busy.
pytestmark = pytest.mark.timeout(1200)


def call(*words: str) -> int:
    return run_command("planted", planted.PlantedConfig, planted.main, description="", argv=words)


def test_damage_is_noise_on_the_matrices_of_one_block():
    model, before = small_model(3), small_model(3).state_dict()
    planted.disturb(model.model.layers[1], 0.5, seed=3)
    for name, value in model.named_parameters():
        moved = value.detach() - before[name]
        if ".1." in name and value.dim() > 1:
            assert float(moved.std()) == pytest.approx(0.5 * float(before[name].std()), rel=0.2)
        else:
            assert not moved.any()
    again = small_model(3)
    planted.disturb(again.model.layers[1], 0.5, seed=3)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))


def test_cases_are_kept_and_not_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [
        *("env=tests.training.guessing:Guess", f"model={write_model(tmp_path / 'model', 3)}", "tuning_tasks=4"),
        *("model.max_reply_tokens=4", "panel_tasks=4", "train.groups=2", "train.group_size=4", "iterations=2"),
        *("seeds=0", "depths=0,2", "selectors=prior,removal", f"out={tmp_path / 'cases.json'}"),
    ]
    assert call(*words) == 0
    cases = json.loads((tmp_path / "cases.json").read_text())
    assert [(case["damaged"], case["selector"]) for case in cases] == [
        *((0, "prior"), (0, "removal"), (2, "prior"), (2, "removal"))
    ]
    assert all(case["noise"] > 0 and len(case["scores"]) == 3 for case in cases)
    assert [case["chosen"] for case in cases if case["selector"] == "prior"] == [[1], [1]]
    said = capsys.readouterr().out
    assert said.count("prior missed: 1, the middle block, by position alone") == 2
    assert "share of a sweep" in said
    before = (tmp_path / "cases.json").read_bytes()
    assert call(*words) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "cases.json").read_bytes() == before
    assert "missed: 1" not in said
    assert "share of a sweep" in said
    assert call(*words, "damage=0.3") == 2
    assert "holds cases with other settings" in capsys.readouterr().err


def test_a_panel_that_was_cut_short_is_no_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [
        *("env=tests.training.guessing:Guess", f"model={write_model(tmp_path / 'model', 2)}", "tuning_tasks=2"),
        *("model.max_reply_tokens=4", "panel_tasks=2", "train.groups=1", "train.group_size=2", "train.updates=1"),
        *("iterations=1", "seeds=0", "depths=0", "selectors=prior", f"out={tmp_path / 'cases.json'}"),
    ]
    assert call(*words, f"reserve.disk={2**40}") == 1
    assert f"reserve.disk={2**40} are kept free" in capsys.readouterr().err
    assert not (tmp_path / "cases.json").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["selectors=auto,priorr"], "unknown selector 'priorr'. Did you mean 'prior'?"),
        (["depths=0,8"], "depths=0,8: the model has blocks 0 to 7."),
        (["seeds=one"], "seeds must be whole numbers"),
    ],
)
def test_wrong_input_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]):
    assert call("data=generated", *words) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


def test_a_damaged_block_of_the_shipped_policy_is_named(tmp_path: Path):
    """One of the ten cases of the whole test, on fewer tasks."""
    words = ["data=generated", "seeds=0", "depths=5", "selectors=auto", "tuning_tasks=64", "train.group_size=4"]
    assert call(*words, f"out={tmp_path / 'cases.json'}") == 0
    (case,) = json.loads((tmp_path / "cases.json").read_text())
    assert case["success"]["after"] < 0.75 * case["success"]["before"]
    assert case["chosen"] == [5]
    assert "block 5 seems out of order" in case["why"]
    assert case["share"] < 0.15
