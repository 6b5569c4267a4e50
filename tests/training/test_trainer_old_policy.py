"""What updates are measured against: the reference, the sampler's probabilities, float32 masters, kept states."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from agents.blocks import find_stack
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.targets import Target, parameters
from agents.types import Reply
from tests.agents.models import byte_tokenizer, model
from tests.training.small import contents, train, trainer
from training.collect import from_episodes
from training.loss import LossConfig


@pytest.mark.parametrize("layer", ["1", "full"])
def test_the_reference_is_the_policy_that_training_started_from(layer: str):
    _, reports = train(layer, updates=1, iterations=3, loss=LossConfig(beta=0.1))
    assert abs(reports[0]["reference_kl"]) < 1e-9
    assert reports[1]["reference_kl"] > 1e-5
    assert reports[2]["reference_kl"] > 1e-5


def test_without_beta_there_is_no_reference():
    assert trainer(model()).passes.reference is None
    assert train(updates=1)[1][1]["reference_kl"] == 0.0


def test_scoring_the_reference_leaves_the_policy_alone():
    """The weights that meet the first training pass of an iteration are those the last iteration ended with."""
    policy = model()
    ended, met = [], []
    in_training = find_stack(policy).modules[0]

    def note(*_: Any) -> None:
        if torch.is_grad_enabled() and len(met) < len(ended):
            met.append(contents(policy))

    in_training.register_forward_pre_hook(note)
    trainer(
        policy, iterations=3, loss=LossConfig(beta=0.1), on_iteration=lambda _: ended.append(contents(policy))
    ).train()
    assert len(met) == 2
    assert met == ended[:2]
    assert ended[0] != ended[1]


def test_a_strong_reference_holds_the_policy_back():
    free, held = (train(iterations=5, loss=LossConfig(beta=beta))[1][-1] for beta in (1e-6, 1.0))
    assert held["reference_kl"] < 0.7 * free["reference_kl"]


def test_a_short_policy_moves_by_its_float32_masters():
    """The steps, 1e-5 each, are far below what bfloat16 can add to most weights; the masters keep them."""
    policy = model().to(torch.bfloat16)
    started = {name: value.detach().clone() for name, value in parameters(policy, Target((1,))).items()}
    made = trainer(policy, learning_rate=1e-5, iterations=3)
    made.train()
    exported = made.master_optimizer.export()
    for name, start in started.items():
        master = exported[f"master/{name}"]
        assert master.dtype == torch.float32
        assert (master != start.float()).float().mean() > 0.5, name
        assert float((master - start.float()).abs().max()) < 1e-4
        assert torch.equal(policy.get_parameter(name), master.bfloat16())
    assert {value.dtype for value in policy.parameters()} == {torch.bfloat16}


def test_below_float32_the_old_probabilities_are_those_of_the_training_pass():
    """So the first update's ratios are exactly 1: nothing is clipped and there is no drift."""
    _, reports = train(policy=model().to(torch.bfloat16), updates=1, iterations=1, micro_batch_tokens=10**6)
    assert reports[0]["kl"] == 0.0
    assert reports[0]["clip_share"] == 0.0


def test_the_samplers_own_probabilities_are_the_old_ones():
    _, reports = train(updates=1, iterations=1)
    assert abs(reports[0]["kl"]) < 1e-6
    assert reports[0]["clip_share"] == 0.0


class Doubting(TransformersPolicy):
    """Reports every token as less likely than it was, by a tenth of a nat: a sampler that rounds otherwise."""

    def open(self, keys: Any, players: Any) -> Any:
        session = super().open(keys, players)
        listen = session.listen

        def doubt() -> dict[int, Reply]:
            heard = listen()
            return {
                row: said._replace(logprobs=[value - 0.1 for value in said.logprobs]) for row, said in heard.items()
            }

        session.listen = doubt  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize(("dtype", "cap", "weight"), [("bfloat16", 2.0, math.exp(0.1)), ("bfloat16", 0.0, 1.0)])
def test_below_float32_the_mismatch_is_in_the_advantages(dtype: str, cap: float, weight: float):
    seen: list[tuple[list[float], list[float]]] = []
    policy = model().to(getattr(torch, dtype))
    made = trainer(policy, "1", iterations=1, mismatch_cap=cap)
    made.policy = Doubting(policy, byte_tokenizer(), Sampling(1.0, 4))
    made.on_iteration = lambda report: seen.append(
        (
            [float(value) for row in report.collected.rows for value in row.advantages],
            [
                float(value)
                for row in from_episodes(report.collected.episodes, made.estimator).rows
                for value in row.advantages
            ],
        )
    )
    made.train()
    ((corrected, plain),) = seen
    assert any(plain)
    ratios = [found / value for found, value in zip(corrected, plain, strict=True) if value]
    # The trainer's own pass rounds to bfloat16 otherwise than the sampler's; on average the doubt remains.
    assert sum(ratios) / len(ratios) == pytest.approx(weight, abs=0.03)


@pytest.mark.parametrize("layer", ["1", "2", "1,2"])
def test_a_kept_prefix_trains_the_same_weights(layer: str):
    """Two epochs with a reference: the states below the target are computed once an iteration."""
    options = {"epochs": 2, "loss": LossConfig(beta=0.05), "micro_batch_tokens": 10**6}
    plain, reports = train(layer, prefix_bytes=0, **options)
    policy = model()
    kept = trainer(policy, layer, **options)
    kept.train()
    assert len(reports) == 2
    for name, value in policy.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-5, atol=1e-6)
    assert kept.passes.prefix is not None
    # Sixteen episodes: the reference pass computes, both epochs find.
    assert (kept.passes.prefix.counts.misses, kept.passes.prefix.counts.hits) == (16, 32)


def test_nothing_is_kept_where_one_pass_reads_it():
    assert trainer(model(), "1").passes.prefix is None
    assert trainer(model(), "0", epochs=2).passes.prefix is None
    assert trainer(model(), "full", epochs=2).passes.prefix is None
    assert trainer(model(), "1", epochs=2).passes.prefix is not None
