"""Demonstrations: reproducible, with noise that is context but no example, and token-exact."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

import envs
from agents.dialogue import Dialogue
from tests.training.demonstrating import demonstrate
from training.demonstrations import Noise, texts, tokenize
from training.vocabulary import build_tokenizer

make = partial(envs.make, "alfworld", data="generated", max_turns=30)
LOUD = Noise(burst_probability=0.3, burst_turns=2.0, invalid_share=0.5)


def test_a_demonstration_is_a_pure_function_of_its_arguments():
    task = make().sample_tasks(1, 1)[0]
    assert demonstrate(make(), "expert", task, 5, LOUD) == demonstrate(make(), "expert", task, 5, LOUD)
    assert demonstrate(make(), "expert", task, 5, LOUD) != demonstrate(make(), "expert", task, 6, LOUD)


def test_without_noise_every_command_is_labelled_and_the_expert_wins():
    for task in make().sample_tasks(2, 5):
        env = make(max_turns=50)
        steps = demonstrate(env, "expert", task, 0, Noise(0.0))
        assert all(step.labelled for step in steps)
        assert env.step("look")[4]["won"]


def test_noise_is_partly_admissible_partly_not():
    noise = [
        (step.command in step.admissible_commands)
        for index, task in enumerate(make().sample_tasks(3, 30))
        for step in demonstrate(make(), "expert", task, index, LOUD)
        if not step.labelled
    ]
    assert len(noise) > 50
    assert 0.3 < np.mean(noise) < 0.95


def test_only_the_command_that_wins_is_marked_so():
    steps = demonstrate(make(max_turns=50), "expert", make().sample_tasks(2, 1)[0], 0, Noise(0.0))
    assert [step.won for step in steps] == [False] * (len(steps) - 1) + [True]


def test_free_text_is_not_disturbed():
    task = envs.make("math").sample_tasks(0, 1)[0]
    (step,) = demonstrate(envs.make("math"), "oracle", task, 0, Noise(1.0))
    assert step.labelled
    assert step.won


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_weights_fall_on_labelled_commands_and_what_the_world_says(weight: float, tmp_path: Path):
    steps = demonstrate(make(), "expert", make().sample_tasks(4, 1)[0], 1, LOUD)
    build_tokenizer(list(texts(steps)), min_phrase=2, min_word=1, max_length=512).save_pretrained(tmp_path)
    dialogue = Dialogue(AutoTokenizer.from_pretrained(tmp_path))
    ids, weights = tokenize(steps, dialogue, weight)
    assert ids.shape == weights.shape
    assert weights[0] == 0.0
    labelled = sum(len(dialogue.spoken(step.command)) for step in steps if step.labelled)
    assert np.sum(weights == 1.0) == labelled
    unlabelled = sum(len(dialogue.spoken(step.command)) for step in steps if not step.labelled)
    if weight:
        assert np.sum(weights == 0.0) == unlabelled + 1
