"""Scores of blocks from gradients that are known and from trial updates, and the choice between noisy scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.guessing import small_model
from tests.training.rows import CPU, near_the_model, random_rows
from training import probing
from training.batches import TrainingRow, by_episode, micro_batches
from training.logprobs import sampled_logprobs
from training.selectors import (
    Groups,
    Probe,
    fisher,
    norm,
    prior,
    random,
    rows_of,
    snr,
    trial,
)


def planted(seed: int, groups: int = 16, size: int = 200, signal: float = 0.0) -> torch.Tensor:
    """Gradients (P, D) of unit noise around a common mean of the given size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(groups, size, generator=generator) + signal


def choose(gradients: list[torch.Tensor]) -> tuple[int, str]:
    """What `select` does once it has the gradients."""
    scores = np.array([probing.gain(block) for block in gradients])
    left_out = [
        [probing.gain(torch.cat([block[:p], block[p + 1 :]])) for p in range(len(block))] for block in gradients
    ]
    return probing.decide(scores, np.array(left_out), "promises the largest first-order gain")


def test_a_gain_worked_by_hand():
    # Coordinate 1: mean 2, variance 2, so (4 - 1) / sqrt(5). Coordinate 2: mean 0, variance 2, so (0 - 1) / sqrt(1).
    gradients = torch.tensor([[1.0, 1.0], [3.0, -1.0]])
    assert probing.gain(gradients) == pytest.approx(3 / 5**0.5 - 1.0)


def test_groups_that_agree_give_the_norm_of_their_sign_step():
    # Without noise an Adam step of size 1 in every coordinate gains the sum of the gradient's absolute values.
    gradient = torch.tensor([0.5, -2.0, 0.25])
    assert probing.gain(gradient.repeat(8, 1)) == pytest.approx(2.75, rel=1e-5)


def test_noise_alone_promises_no_gain():
    gains = [probing.gain(planted(seed)) for seed in range(40)]
    error = np.std(gains) / len(gains) ** 0.5
    assert abs(np.mean(gains)) < 3 * error
    # Without the correction it would promise this much.
    assert np.mean([float((planted(seed).mean(0) ** 2).sum()) for seed in range(40)]) > 20 * error


def test_dead_coordinates_count_for_nothing():
    gradients = planted(0, signal=0.5)
    wider = torch.cat([gradients, torch.zeros(len(gradients), 1000)], dim=1)
    assert probing.gain(wider) == pytest.approx(probing.gain(gradients))


@pytest.mark.parametrize("best", [0, 2, 5])
def test_the_block_with_the_signal_wins(best: int):
    index, why = choose([planted(block, signal=1.0 if block == best else 0.0) for block in range(6)])
    assert index == best
    assert why == f"block {best} promises the largest first-order gain, clearly above every other block"


def test_of_blocks_that_cannot_be_told_apart_the_nearest_to_the_middle_wins():
    gradients = [planted(7, signal=0.5)] * 8
    index, why = choose(gradients)
    assert index == 3
    assert "blocks 0, 1, 2, 3, 4, 5, 6, 7 cannot be told apart" in why


def test_rivals_are_only_those_near_the_best():
    """Blocks 6 and 7 share one signal and the others have none: 6 is nearer to the middle."""
    gradients = [planted(block, signal=1.0 if block >= 6 else 0.0) for block in range(8)]
    gradients[7] = gradients[6]
    index, why = choose(gradients)
    assert index == 6
    assert "blocks 6, 7 cannot be told apart" in why


def test_a_lead_is_measured_against_the_noise_of_the_difference():
    """Group effects that all blocks share do not hide a lead that is there in every group."""
    shared = planted(0, size=50) + torch.linspace(0, 4, 16)[:, None]
    index, _ = choose([shared, shared * 1.2, shared])
    assert index == 1


def as_groups(rows: list[TrainingRow]) -> Groups:
    return by_episode(rows)


def probe(groups: Groups, tokens: int = 10**6, blocks: int = 4) -> Probe:
    return Probe(small_model(blocks), blocks, lambda: groups, CPU, 0.7, tokens, 0)


def test_gradients_are_those_of_the_policy_loss():
    """On rows sampled by these very weights, the clipped loss has the gradient of -A log pi, token by token."""
    groups, model = as_groups(random_rows(6)), small_model(4)
    found = probing.block_gradients(probe(groups), groups)
    for number, rows in enumerate(groups):
        model.zero_grad()
        (batch,) = micro_batches(rows_of(rows), 10**6, CPU)
        logprobs, _ = sampled_logprobs(model, batch, 0.7)
        ratio = (logprobs - logprobs.detach()).exp()
        (-(ratio * batch.column("advantages")).mean()).backward()
        for block, gradients in zip(model.model.layers, found, strict=True):
            wanted = torch.cat([value.grad.reshape(-1) for value in block.parameters()])
            torch.testing.assert_close(gradients[number], wanted, atol=1e-6, rtol=1e-4)


def test_gradients_do_not_depend_on_micro_batches():
    groups = as_groups(random_rows(6))
    for one, other in zip(
        probing.block_gradients(probe(groups), groups),
        probing.block_gradients(probe(groups, tokens=1), groups),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_large_blocks_are_thinned(monkeypatch: pytest.MonkeyPatch):
    groups = as_groups(random_rows(4))
    whole = probing.block_gradients(probe(groups), groups)
    monkeypatch.setattr(probing, "MAX_COORDINATES", 500)
    thinned = probing.block_gradients(probe(groups), groups)
    stride = whole[0].shape[1] // 500
    assert stride > 2
    for all_of_them, some in zip(whole, thinned, strict=True):
        assert torch.equal(all_of_them[:, ::stride], some)


def test_random_draws_every_block_equally_often():
    model = small_model(1)
    drawn = [random.select(Probe(model, 4, list, CPU, 1.0, 1, seed)).indices[0] for seed in range(400)]
    assert min(np.bincount(drawn, minlength=4)) > 70


def test_the_best_of_many_noisy_blocks_is_seldom_called_better():
    """Blocks that are all alike: at most about one call in twenty is wrong, whatever their number."""
    wrong = sum("clearly above" in choose([planted(100 * seed + block) for block in range(8)])[1] for seed in range(60))
    assert wrong <= 8


def test_other_scores_worked_by_hand():
    # Means 2 and 0, sample variances 2 and 2, mean squares 5 and 1; signals 4 - 1 and 0 - 1.
    gradients = torch.tensor([[1.0, 1.0], [3.0, -1.0]])
    assert probing.norm(gradients) == pytest.approx(2.0)
    assert probing.fisher(gradients) == pytest.approx(3 / 5 - 1)
    assert probing.signal_to_noise(gradients) == pytest.approx((3 - 1) / 4)
    assert probing.signal_to_noise(torch.zeros(3, 2)) == 0.0


def test_each_gradient_selector_scores_by_its_own_formula():
    rows = random_rows(16)
    near_the_model(small_model(4), rows)
    groups = as_groups(rows)
    gradients = probing.block_gradients(probe(groups), groups)
    for module, score in ((norm, probing.norm), (fisher, probing.fisher), (snr, probing.signal_to_noise)):
        choice = module.select(probe(groups))
        found = [block.score for block in choice.blocks]
        assert found == pytest.approx([score(gradient) for gradient in gradients], rel=1e-5)


def test_the_prior_is_the_middle_and_falls_off_to_both_ends():
    choice = prior.select(Probe(small_model(1), 8, list, CPU, 1.0, 1, 0))
    assert choice.indices == (3,)
    scores = [block.score for block in choice.blocks]
    assert scores == scores[::-1]
    assert scores[:4] == sorted(scores[:4])


def test_trial_updates_see_what_a_block_gains_on_unseen_groups():
    """Of two tokens all groups like the same: whatever block is updated on one half gains on the other."""
    rows = random_rows(24)
    draw = np.random.default_rng(0)
    for row in rows:
        liked = draw.random(row.num_sampled) < 0.5
        row.row.tokens[row.row.sampled] = np.where(liked, 5, 300)
        row.advantages[:] = np.where(liked, 1.0, -1.0)
    given = replace(probe(as_groups(rows)), learning_rate=3e-3)
    with torch.no_grad():
        for row in rows:
            (batch,) = micro_batches([row], 1, CPU)
            row.old = sampled_logprobs(given.model, batch, 0.7)[0].numpy()
    choice = trial.select(given)
    scores = np.array([block.score for block in choice.blocks])
    errors = np.array([block.details["standard_error"] for block in choice.blocks])
    assert (scores > 2 * errors).all()
    assert len(set(scores.tolist())) == 4


def test_trial_updates_of_noise_gain_nothing():
    """Advantages without a pattern: no block gains more on unseen groups than chance."""
    rows = random_rows(24)
    given = probe(as_groups(rows))
    with torch.no_grad():
        for row in rows:
            (batch,) = micro_batches([row], 1, CPU)
            row.old = sampled_logprobs(given.model, batch, 0.7)[0].numpy()
    choice = trial.select(given)
    assert all(block.score < 3 * block.details["standard_error"] for block in choice.blocks)
