"""Starting policies of every family: of one size, and models like others to those who train them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from transformers import AutoModelForCausalLM

from agents.blocks import find_stack
from training.architectures import build_model
from training.warmstart import ShapeConfig

FAMILIES = get_args(get_type_hints(ShapeConfig)["family"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_comes_back_from_its_folder(family: str, tmp_path: Path):
    shape = ShapeConfig(family=family)
    model = build_model(shape, 700, end=1, pad=0)
    assert len(find_stack(model)) == shape.blocks
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert (type(again), again.config.model_type) == (type(model), family)
    assert all(again.state_dict()[name].equal(value) for name, value in model.state_dict().items())


def test_the_families_are_of_one_size():
    counts = [build_model(ShapeConfig(family=family), 700, 1, 0).num_parameters() for family in FAMILIES]
    assert len(set(counts)) == len(FAMILIES)
    assert max(counts) < 1.01 * min(counts)
