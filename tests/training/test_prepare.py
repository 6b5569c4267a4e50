"""What is found wrong before a run begins, and that its sets of tasks are apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from envs.config import load
from envs.errors import InputError
from evals.panels import Panel
from training.config import RunConfig
from training.fitting import skeleton
from training.prepare import check, check_apart


def config(*words: str) -> RunConfig:
    return load(RunConfig, ["data=generated", "iterations=3", "panel_tasks=50", *words])


def test_panel_tuning_probe_and_training_share_no_task():
    inputs = check(config())
    training = inputs.train_env().sample_tasks(0, 1)
    assert training
    sets = [set(panel.tasks) for panel in (inputs.panel, inputs.tuning, inputs.probe)]
    assert [len(tasks) for tasks in sets] == [50, 128, 16]
    assert len(set.union(*sets)) == 50 + 128 + 16
    assert len({panel.sha256 for panel in (inputs.panel, inputs.tuning, inputs.probe)}) == 3


def test_training_may_not_play_a_task_of_the_panel():
    panel = Panel("p", ("a", "b"))
    check_apart(config(), ["c"], panel, {"split": "valid_unseen"})
    with pytest.raises(InputError, match="training would play 1 of the 2 tasks of panel p, for example b"):
        check_apart(config(), ["b", "c"], panel, {"split": "valid_unseen"})


def test_training_may_not_play_the_panels_split():
    with pytest.raises(InputError, match=r"env\.split=valid_unseen is the split that panel"):
        check(config("env.split=valid_unseen"))
    with pytest.raises(InputError, match=r"env\.split=valid_unseen is the split that panel"):
        check(config("env.split=valid_unseen", "panel=alfworld_generated_unseen"))


@pytest.mark.parametrize("temperatures", ["[]", "[-1]", "[0.4,.nan]", "[.inf]"])
def test_temperatures_that_nothing_can_be_sampled_at_are_refused(temperatures: str):
    with pytest.raises(InputError, match="temperatures must be numbers of at least 0"):
        check(config(f"temperatures={temperatures}"))


def test_the_anchor_has_a_short_key():
    assert config("anchor=state").env.anchor == "state"


def test_a_configuration_that_breaks_the_library_is_left_to_whoever_loads_the_weights(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2", "hidden_size": "many", "num_hidden_layers": 2}')
    assert skeleton(str(tmp_path), torch.float32) is None
