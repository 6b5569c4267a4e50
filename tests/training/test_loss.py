"""The loss: values worked by hand, and a split into micro-batches and padding that change nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from tests.agents.models import model
from tests.training.rows import CPU, backward, near_the_model, random_rows, weigh
from training.batches import micro_batches
from training.logprobs import sampled_logprobs
from training.loss import AGGREGATIONS, LossConfig, k3, policy_loss, token_weights

EVERYTHING = LossConfig(beta=0.1, entropy_bonus=0.02)


def one(ratio: float, advantage: float, config: LossConfig | None = None) -> tuple[float, float, float]:
    """Loss, its derivative by log pi, and the number of clipped tokens, of one token of weight 1."""
    old = torch.tensor([math.log(0.25)])
    logprobs = (old + math.log(ratio)).requires_grad_(True)
    parts = policy_loss(logprobs, old, torch.tensor([advantage]), torch.ones(1), config or LossConfig())
    parts.loss.backward()
    return parts.loss.item(), float(logprobs.grad), parts.clipped


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "derivative", "clipped"),
    [
        (1.0, 2.0, -2.0, -2.0, 0),
        (1.1, 2.0, -2.2, -2.2, 0),
        (1.5, 2.0, -2.4, 0.0, 1),
        (0.5, 2.0, -1.0, -1.0, 0),
        (1.5, -2.0, 3.0, 3.0, 0),
        (0.5, -2.0, 1.6, 0.0, 1),
        (0.9, -2.0, 1.8, 1.8, 0),
        (1.5, 0.0, 0.0, 0.0, 0),
    ],
)
def test_clipping(ratio: float, advantage: float, loss: float, derivative: float, clipped: int):
    assert one(ratio, advantage) == (pytest.approx(loss), pytest.approx(derivative), clipped)


def test_the_clip_distances_are_apart():
    config = LossConfig(clip_low=0.1, clip_high=0.3)
    assert one(1.25, 1.0, config)[0] == pytest.approx(-1.25)
    assert one(1.50, 1.0, config)[0] == pytest.approx(-1.3)
    assert one(0.50, -1.0, config)[0] == pytest.approx(0.9)
    assert one(0.95, -1.0, config)[0] == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "derivative"),
    [(2.9, -2.0, 5.8, 5.8), (4.0, -2.0, 6.0, 0.0), (0.5, -2.0, 1.6, 0.0), (4.0, 2.0, -2.4, 0.0), (1.0, 2.0, -2.0, -2)],
)
def test_dual_clip(ratio: float, advantage: float, loss: float, derivative: float):
    """Past c = 3 a negative advantage counts c times and pulls no more; nothing else changes."""
    assert one(ratio, advantage, LossConfig(dual_clip=3.0))[:2] == (pytest.approx(loss), pytest.approx(derivative))


@settings(deadline=None)
@given(st.floats(0.01, 50), st.floats(-5, 5), st.floats(1.01, 10))
def test_dual_clip_bounds_the_loss_of_a_token(ratio: float, advantage: float, most: float):
    plain, bounded = one(ratio, advantage)[0], one(ratio, advantage, LossConfig(dual_clip=most))[0]
    assert bounded == pytest.approx(min(plain, most * -advantage) if advantage < 0 else plain, rel=1e-4, abs=1e-6)


def test_a_dual_clip_of_at_most_one_is_refused():
    with pytest.raises(InputError, match="more than 1"):
        LossConfig(dual_clip=1.0)


def test_k3():
    # d = log(1/4) - log(1/2) = -log 2, and exp(-log 2) + log 2 - 1.
    half, quarter = torch.tensor(0.5).log(), torch.tensor(0.25).log()
    assert float(k3(half, quarter)) == pytest.approx(0.5 + math.log(2) - 1)
    assert float(k3(quarter, half)) == pytest.approx(2 - math.log(2) - 1)
    assert float(k3(half, half)) == 0.0


@settings(deadline=None)
@given(st.floats(-20, 0), st.floats(-20, 0))
def test_k3_is_never_negative(first: float, second: float):
    assert float(k3(torch.tensor(first), torch.tensor(second))) >= 0.0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.05, 1.0), min_size=4, max_size=4), st.lists(st.floats(0.05, 1.0), min_size=4, max_size=4))
def test_k3_is_the_divergence_on_average(first: list[float], second: list[float]):
    p, q = (torch.tensor(values, dtype=torch.float64) / sum(values) for values in (first, second))
    divergence = (p * (p / q).log()).sum()
    assert float((p * k3(p.log(), q.log())).sum()) == pytest.approx(float(divergence), abs=1e-12)


def test_divergence_and_entropy_in_the_loss():
    logprobs = torch.tensor([math.log(0.5)], requires_grad=True)
    reference, entropy = torch.tensor([math.log(0.25)]), torch.tensor([1.3863], requires_grad=True)
    parts = policy_loss(
        logprobs,
        logprobs.detach(),
        torch.tensor([1.0]),
        torch.tensor([1.0]),
        LossConfig(beta=0.1, entropy_bonus=0.01),
        reference_T=reference,
        entropy_T=entropy,
    )
    divergence = 0.5 + math.log(2) - 1
    assert parts.loss.item() == pytest.approx(-1.0 + 0.1 * divergence - 0.01 * 1.3863)
    assert parts.reference_kl == pytest.approx(divergence)
    assert (parts.kl, parts.entropy, parts.num_tokens) == (0.0, pytest.approx(1.3863), 1)
    parts.loss.backward()
    # The derivative of k3 by log pi is 1 - pi_ref / pi.
    assert float(logprobs.grad) == pytest.approx(-1.0 + 0.1 * (1 - 0.5))
    assert float(entropy.grad) == pytest.approx(-0.01)


def test_the_logged_drift_is_that_of_the_sampling_policy():
    # One token sampled at probability 1/2 that now has 1/4: exp(log 1/4 - log 1/2) - log(1/2) - 1.
    parts = policy_loss(
        torch.tensor([math.log(0.25)]), torch.tensor([math.log(0.5)]), torch.zeros(1), torch.ones(1), LossConfig()
    )
    assert parts.kl == pytest.approx(0.5 + math.log(2) - 1)


def test_the_entropy_of_a_uniform_policy():
    uniform = model()
    with torch.no_grad():
        uniform.get_output_embeddings().weight.zero_()
    (batch,) = micro_batches(random_rows(1), 1, CPU)
    logprobs, entropy = sampled_logprobs(uniform, batch, 0.7)
    assert torch.allclose(entropy, torch.full_like(entropy, math.log(uniform.config.vocab_size)))
    assert torch.allclose(logprobs, -entropy)


# Rows of one and of three sampled tokens.
@pytest.mark.parametrize(
    ("mode", "weights"),
    [
        ("token_mean", [1 / 4, 1 / 4]),
        ("sequence_mean_token_mean", [1 / 2, 1 / 6]),
        ("sequence_mean_token_sum", [1 / 2, 1 / 2]),
        ("sequence_mean_token_sum_norm", [1 / 20, 1 / 20]),
    ],
)
def test_aggregation(mode: str, weights: list[float]):
    np.testing.assert_allclose(token_weights(np.array([1, 3]), mode, 10), weights)


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_an_update_without_rows_has_no_weights(mode: str):
    assert len(token_weights(np.array([], dtype=np.int64), mode, 10)) == 0


def test_an_unknown_aggregation_is_refused():
    with pytest.raises(InputError, match="Did you mean 'token_mean'"):
        token_weights(np.array([1]), "token_means")


def equal_gradients(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    for name, gradient in first.items():
        torch.testing.assert_close(second[name], gradient, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("config", [LossConfig(), EVERYTHING], ids=["plain", "everything"])
def test_the_split_into_micro_batches_changes_nothing(mode: str, config: LossConfig):
    policy, rows = model(), random_rows(8)
    near_the_model(policy, rows)
    weigh(rows, mode, 10)
    together, one_by_one = backward(policy, rows, config), backward(policy, rows, config, max_tokens=1)
    assert (len(together[2]), len(one_by_one[2])) == (1, 8)
    assert together[0] == pytest.approx(one_by_one[0], abs=1e-6)
    equal_gradients(together[1], one_by_one[1])
    assert max(float(gradient.abs().max()) for gradient in together[1].values()) > 1e-3
    for name in ("clipped", "kl", "reference_kl", "entropy", "num_tokens"):
        sums = [sum(getattr(part, name) for part in parts) for parts in (together[2], one_by_one[2])]
        assert sums[0] == pytest.approx(sums[1], rel=1e-4), name
    assert sum(part.clipped for part in together[2]) > 0


def test_micro_batches_keep_to_their_budget_and_lose_no_row():
    rows = random_rows(20)
    batches = list(micro_batches(rows, 40, CPU))
    assert sorted(id(row) for batch in batches for row in batch.rows) == sorted(map(id, rows))
    assert all(batch.tokens_BT.numel() <= 40 or len(batch.rows) == 1 for batch in batches)
    assert len(batches[0].rows[0].row.tokens) == max(len(row.row.tokens) for row in rows)
    for batch in batches:
        sampled = np.concatenate([row.row.tokens[row.row.sampled] for row in batch.rows])
        assert batch.targets_S.tolist() == sampled.tolist()
        assert int(batch.predicts_BT.sum()) == len(sampled) == len(batch.weights()) == len(batch.column("old"))


def test_padding_adds_nothing():
    policy, rows = model(), random_rows(6)
    weigh(rows, "token_mean")
    (batch,) = micro_batches(rows, 10**6, CPU)
    lengths = torch.tensor([len(row.row.tokens) for row in batch.rows])
    padded = torch.arange(batch.tokens_BT.shape[1]) >= lengths[:, None]
    assert bool(padded.any())
    first, _ = sampled_logprobs(policy, batch, 1.0)
    batch.tokens_BT[padded] = 7
    assert torch.equal(first, sampled_logprobs(policy, batch, 1.0)[0])
    alone = torch.cat([sampled_logprobs(policy, next(micro_batches([row], 1, CPU)), 1.0)[0] for row in batch.rows])
    torch.testing.assert_close(first, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_logprobs_are_those_of_a_plain_forward_pass(temperature: float):
    policy, rows = model("qwen2"), random_rows(5)
    for batch in micro_batches(rows, 60, CPU):
        values, entropies = sampled_logprobs(policy, batch, temperature)
        expected, expected_entropies = [], []
        for row in batch.rows:
            tokens = torch.from_numpy(row.row.tokens)[None]
            logprobs = (policy(tokens).logits[0].double() / temperature).log_softmax(-1)
            places = torch.from_numpy(np.flatnonzero(row.row.sampled))
            expected.append(logprobs[places - 1, tokens[0, places]])
            expected_entropies.append(-(logprobs.exp() * logprobs).sum(-1)[places - 1])
        torch.testing.assert_close(values.double(), torch.cat(expected), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(entropies.double(), torch.cat(expected_entropies), atol=1e-5, rtol=1e-5)


def test_the_output_head_is_left_as_it_was():
    policy = model()
    tokens = torch.tensor([[1, 2, 3]])
    before = policy(tokens).logits
    (batch,) = micro_batches(random_rows(1), 1, CPU)
    sampled_logprobs(policy, batch, 1.0)
    assert torch.equal(policy(tokens).logits, before)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 1000))
def test_a_replys_ratio_is_the_geometric_mean_of_its_tokens(lengths: list[int], seed: int):
    generator = torch.Generator().manual_seed(seed)
    replies = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    old, advantages = torch.randn(sum(lengths), generator=generator), torch.randn(len(lengths), generator=generator)
    logprobs = (old + 0.3 * torch.randn(sum(lengths), generator=generator)).requires_grad_()
    weights = torch.ones(sum(lengths)) / torch.tensor(lengths)[replies]
    config = LossConfig(clip_low=0.1, clip_high=0.2, ratio="sequence")
    loss = policy_loss(logprobs, old, advantages[replies], weights, config, replies_T=replies).loss
    ratios = torch.stack([part.mean().exp() for part in (logprobs - old).split(lengths)])
    expected = -torch.minimum(ratios * advantages, ratios.clamp(0.9, 1.2) * advantages).sum()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, logprobs)[0] for value in (loss, expected)))


def test_an_unknown_ratio_is_refused():
    with pytest.raises(InputError, match=r"unknown ratio 'sequnce'\. Did you mean 'sequence'"):
        LossConfig(ratio="sequnce")
