"""The main job's configuration and the presets that are shipped."""

from __future__ import annotations

import pytest

from envs import presets
from envs.config import load, resolve
from envs.registry import names
from evals import panels
from training.config import RunConfig
from training.loss import AGGREGATIONS

GROUPS = ("env", "model", "algorithm", "recipe", "panel")


@pytest.mark.parametrize("word", [f"{group}={name}" for group in GROUPS for name in presets.names(group)])
def test_every_shipped_preset_is_valid(word: str):
    load(RunConfig, [word])


def test_every_key_says_what_it_means():
    assert all(key.help for key in resolve(RunConfig, [])[1])


@pytest.mark.parametrize("name", presets.names("panel"))
def test_every_panel_names_an_environment_a_split_and_a_rule(name: str):
    panel = panels.read(name)
    assert panel.env in names()
    assert "split" in panel.options
    # Goals that people wrote are chosen among files.
    options = panel.options | ({"data": "PATH"} if "goals" in panel.options else {})
    load(RunConfig, [f"env={panel.env}", *(f"env.{option}={value}" for option, value in options.items())])


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_every_aggregation_of_the_loss_can_be_chosen(mode: str):
    assert load(RunConfig, [f"train.aggregation={mode}"]).train.aggregation == mode


def test_a_model_is_a_preset_a_hub_id_or_a_folder(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "policy").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load(RunConfig, []).model.path == "agents/pretrained/tiny"
    assert load(RunConfig, ["model=Qwen/Qwen2.5-1.5B-Instruct"]).model.path == "Qwen/Qwen2.5-1.5B-Instruct"
    assert load(RunConfig, ["model=policy"]).model.path == "policy"


def test_data_is_short_for_the_option_of_the_environment():
    assert load(RunConfig, ["data=somewhere"]).env.data == "somewhere"
