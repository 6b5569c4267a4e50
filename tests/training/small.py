"""Small trainers: a model of three blocks that learns to guess."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.targets import Target, parse
from tests.agents.models import byte_tokenizer, model
from tests.training.guessing import Guess
from training.arguments import GroupConfig
from training.detectors import WatchConfig
from training.trainer import GroupTrainer, IterationReport

LAYERS = ["0", "1", "2", "0,2", "full"]
TARGETS = pytest.mark.parametrize("layer", LAYERS)


def target_of(layer: str) -> Target:
    """The target of that name in a model of three blocks."""
    target = parse(layer, 3)
    assert target is not None
    return target


def contents(policy: PreTrainedModel) -> dict[str, bytes]:
    """Every tensor's bytes, those of buffers included."""
    return {
        name: value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, value in policy.state_dict().items()
    }


def trainer(
    policy: PreTrainedModel,
    layer: str = "1",
    *,
    env: Callable[[], Guess] = Guess,
    on_iteration: Callable[[IterationReport], bool | None] | None = None,
    **options: Any,
) -> GroupTrainer:
    """A trainer of two iterations of 2 x 4 episodes with two updates each, unless told otherwise."""
    settings = {
        "iterations": 2,
        "tasks": 2,
        "group_size": 4,
        "updates": 2,
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "micro_batch_tokens": 120,
        "seed": 3,
        "use_cpu": True,
        # At such rates updates go too far, and are made all the same.
        "watch": WatchConfig(kl=0, reference_kl=0, ratio=0),
    }
    args = GroupConfig(**(settings | options))
    sampling = Sampling(args.temperature, 4)
    return GroupTrainer(
        policy,
        env,
        args,
        target=target_of(layer),
        policy=TransformersPolicy(policy, byte_tokenizer(), sampling),
        on_iteration=on_iteration,
    )


def train(layer: str = "1", policy: PreTrainedModel | None = None, **options: Any) -> tuple[PreTrainedModel, list[Any]]:
    """Trains a new model; returns it with the metrics of every iteration."""
    policy = model() if policy is None else policy
    reports: list[Any] = []
    trainer(policy, layer, on_iteration=lambda report: reports.append(report.metrics), **options).train()
    return policy, reports


def watched_rows(training: GroupTrainer) -> list[list[int]]:
    """A list that fills with the rows of every update, by identity, as the trainer makes them."""
    seen, original = list[list[int]](), training._prepare_inputs

    def noted(inputs: dict[str, Any]) -> dict[str, Any]:
        prepared = original(inputs)
        seen.append([id(row) for row in prepared["rows"]])
        return prepared

    training._prepare_inputs = noted
    return seen
