"""The group trainer with a real vLLM engine: every iteration is sampled by the weights of the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from agents.policies.synced import SyncError
from agents.policies.transformers import Sampling
from agents.policies.vllm.policy import VllmPolicy
from agents.policies.vllm.weights import SyncedWeights
from agents.targets import parameters, parse
from tests.agents.models import byte_tokenizer
from tests.agents.vllm.tiny import tiny_model
from tests.training.guessing import Guess
from training.arguments import GroupConfig
from training.trainer import GroupTrainer, IterationReport

if TYPE_CHECKING:
    from agents.policies.vllm.local import LocalEngine


def trainer(engine: LocalEngine, layer: str, reports: list[IterationReport], **options: Any) -> GroupTrainer:
    model = tiny_model(21)
    weights = SyncedWeights(model, engine)
    settings = {
        "iterations": 3,
        "tasks": 2,
        "group_size": 8,
        "updates": 2,
        "learning_rate": 3e-3,
        "seed": 3,
        "use_cpu": True,
    }
    args = GroupConfig(**(settings | options))
    policy = VllmPolicy(weights, byte_tokenizer(), Sampling(args.temperature, 4))
    weights.refresh()
    return GroupTrainer(
        model, Guess, args, target=parse(layer, 4), policy=policy, on_iteration=lambda report: reports.append(report)
    )


@pytest.mark.parametrize("layer", ["1", "2.mlp", "lora:2", "full"])
def test_training_syncs_the_target_before_every_rollout(engine: LocalEngine, layer: str):
    if layer.startswith("lora"):
        pytest.importorskip("peft")
    reports: list[IterationReport] = []
    made = trainer(engine, layer, reports)
    made.train()
    made.close()
    target = parse(layer, 4)
    assert target is not None
    names = parameters(made.language_model, target)
    expected = sum(value.numel() * 4 for name, value in names.items() if not target.lora or value.ndim == 2)
    assert [report.cost["sync_bytes"] for report in reports] == [expected] * 3
    for number, report in enumerate(reports):
        assert {episode.policy_version for episode in report.collected.episodes} == {number}
        assert 0 < report.cost["sync_seconds"] < report.cost["update_seconds"]
        assert 0 <= report.metrics["mismatch_kl"] < 1e-4
        assert 0 < report.metrics["mismatch_max"] < 1e-2
        assert report.metrics["mismatch_share"] == 0.0
        assert np.isfinite(report.metrics["loss"])
    before = dict(tiny_model(21).named_parameters())
    after = dict(made.language_model.named_parameters())
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {name for name, value in names.items() if not target.lora or value.ndim == 2}
    assert all(torch.isfinite(value).all() for value in made.language_model.parameters())
    # What was trained last has not been sent; the next evaluation sends it.
    assert isinstance(made.policy, VllmPolicy)
    with pytest.raises(SyncError):
        made.policy.open([], None)  # type: ignore[arg-type]
    assert made.policy.weights.refresh() is not None
    made.policy.open([], None)  # type: ignore[arg-type]


def test_a_sync_that_is_skipped_ends_training_before_anything_is_learned_from_it(engine: LocalEngine):
    class Skipping(VllmPolicy):
        def sync(self, weights: Any, version: int) -> Any:
            if version < 1:
                return super().sync(weights, version)
            self.weights.version = version
            return self.weights_report

    reports: list[IterationReport] = []
    made = trainer(engine, "1", reports)
    assert isinstance(made.policy, VllmPolicy)
    made.policy.weights_report = made.policy.weights.refresh()  # type: ignore[attr-defined]
    made.policy.__class__ = Skipping
    with pytest.raises(SyncError, match="have changed since the last sync"):
        made.train()
    assert len(reports) == 1


def test_samples_of_an_older_version_are_refused(engine: LocalEngine):
    class Late(VllmPolicy):
        """Its weights are the right ones, but it calls them by an older name."""

        def sync(self, weights: Any, version: int) -> Any:
            return super().sync(weights, max(version - 1, 0))

    reports: list[IterationReport] = []
    made = trainer(engine, "1", reports)
    made.policy.__class__ = Late
    with pytest.raises(SyncError, match="the trainer is at weights 1, but episodes were sampled with weights 0"):
        made.train()
    assert len(reports) == 1


def test_training_learns(engine: LocalEngine):
    """One letter opens every door here, so a dozen iterations are enough to see success rise."""
    reports: list[IterationReport] = []
    trainer(engine, "full", reports, iterations=12, learning_rate=5e-3).train()
    successes = [report.metrics["success"] for report in reports]
    assert sum(successes[-4:]) > sum(successes[:4]) + 0.5
