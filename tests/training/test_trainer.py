"""The trainer's surface: what it takes, refuses, reports, and that it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agents.blocks import find_stack
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.targets import Target
from envs.errors import InputError
from tests.agents.models import byte_tokenizer, model
from tests.training.guessing import Guess
from tests.training.small import contents, train, trainer
from training.arguments import GroupConfig
from training.trainer import GroupTrainer


def test_draws_do_not_depend_on_anything_else_that_is_random():
    torch.manual_seed(1)
    first, reports = train()
    torch.manual_seed(2)
    second, again = train(policy=model())
    assert contents(first) == contents(second)
    assert reports == again
    assert train(seed=4)[1] != reports


def test_training_learns():
    """One letter opens every door here, so a dozen iterations are enough to see success rise."""
    _, reports = train("full", iterations=12, tasks=2, group_size=8, learning_rate=5e-3)
    successes = [report["success"] for report in reports]
    assert sum(successes[-4:]) > sum(successes[:4]) + 0.5


def test_a_machine_of_several_gpus_trains_on_one():
    """There the base class wraps the model in `DataParallel`; nothing of ours may run through that."""
    policy = model()
    made = trainer(policy, iterations=1)
    made.args._n_gpu = 2
    made.train()
    assert contents(policy) == contents(train(iterations=1)[0])


def test_metrics_say_what_happened():
    costs = []
    made = trainer(model(), on_iteration=lambda report: costs.append(report.cost))
    made.train()
    assert len(costs) == 2
    for cost in costs:
        assert cost["seconds"] == pytest.approx(cost["rollout_seconds"] + cost["update_seconds"], abs=0.01)
        assert cost["peak_bytes"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iterations": -1}, "iterations=-1"),
        ({"updates": 3}, "updates=3 does not divide the 8 episodes"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        trainer(model(), **options)


def test_a_policy_of_another_temperature_or_model_is_refused():
    shared, args = model(), GroupConfig(tasks=2, group_size=4, updates=2, use_cpu=True)
    strange = TransformersPolicy(model(), byte_tokenizer(), Sampling(1.0, 4))
    cold = TransformersPolicy(shared, byte_tokenizer(), Sampling(0.5, 4))
    for policy, words in ((strange, "another model"), (cold, "temperature")):
        with pytest.raises(InputError, match=words):
            GroupTrainer(shared, Guess, args, target=Target((1,)), policy=policy)


def test_a_model_an_environment_and_arguments_are_enough():
    """The surface: `GroupTrainer(model, env, args=GroupConfig(...))` trains the middle block."""
    short, long = model(), model()
    settings: dict[str, Any] = {
        "iterations": 1,
        "tasks": 2,
        "group_size": 4,
        "updates": 2,
        "learning_rate": 1e-2,
        "max_reply_tokens": 4,
        "seed": 3,
        "use_cpu": True,
    }
    before = contents(short)
    GroupTrainer(short, Guess(), args=GroupConfig(**settings), processing_class=byte_tokenizer()).train()
    trainer(long, "1", iterations=1, micro_batch_tokens=16384).train()
    after = contents(short)
    prefix = find_stack(short).prefix(1)
    assert {name for name in after if after[name] != before[name]} == {n for n in after if n.startswith(prefix)}
    assert after == contents(long)


def test_a_model_from_nowhere_needs_a_tokenizer():
    with pytest.raises(InputError, match="give processing_class="):
        GroupTrainer(model(), Guess, GroupConfig(use_cpu=True))
