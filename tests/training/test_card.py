"""The commands of a model card: what they say is the run that they stand for."""

from __future__ import annotations

import pytest

from envs.config import load
from evals.run import EvalConfig
from training.card import command, scoring_command
from training.config import RunConfig


@pytest.mark.parametrize(
    "words",
    [
        ["env=alfworld"],
        ["env=alfworld", "data=generated", "panel=alfworld_generated_unseen", "seed=3"],
        ["env=alfworld", "env.task_types=[pick_and_place_simple]", "model=qwen2.5-1.5b"],
        ["env=sokoban_tiny", "model=some/folder", "layer=lora:3", "panel_tasks=20"],
        ["recipe=learn_sokoban", "model.path=some/folder", "layer=3"],
        ["recipe=learn_code"],
    ],
)
def test_the_commands_of_a_card_mean_the_run(words: list[str]):
    config = load(RunConfig, words)
    made = load(RunConfig, command(config).split("#")[0].split()[3:])
    assert made.env == config.env
    assert (made.model.path, made.model.max_reply_tokens) == (config.model.path, config.model.max_reply_tokens)
    assert (made.algorithm, made.layer, made.seed) == (config.algorithm, config.layer, config.seed)
    scored = load(EvalConfig, scoring_command(config).split()[3:])
    assert scored.env == config.env
    assert (scored.policy.path, scored.policy.max_reply_tokens) == (config.model.path, config.model.max_reply_tokens)
    assert (scored.panel, scored.seed) == (config.panel, config.seed if not config.panel else 0)
    assert scored.tasks == config.panel_tasks or config.panel
