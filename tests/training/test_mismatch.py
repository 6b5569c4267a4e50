"""Correcting what sampler and trainer disagree on: the weights, what is left out, and what is reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.types import Reply
from envs.errors import InputError
from tests.agents.models import byte_tokenizer, model
from tests.training.rows import CPU, random_rows
from tests.training.small import trainer
from training.arguments import GroupConfig
from training.batches import micro_batches
from training.dealing import Dealing
from training.mismatch import CORRECTIONS, correct, weights

REPLIES = np.array([0, 0, 1, 1, 1])
# The replies' ratios are 1.8 and 0.25.
RATIOS = np.array([3.0, 0.6, 1.0, 0.25, 1.0])


@pytest.mark.parametrize(
    ("correction", "factors", "marks"),
    [
        ("token_truncate", [2.0, 0.6, 1.0, 0.25, 1.0], [1, 0, 0, 0, 0]),
        ("token_mask", [0.0, 1.0, 1.0, 0.0, 1.0], [1, 0, 0, 1, 0]),
        ("sequence_truncate", [1.8, 1.8, 0.25, 0.25, 0.25], [0, 0, 0, 0, 0]),
        ("sequence_mask", [1.0, 1.0, 0.0, 0.0, 0.0], [0, 0, 1, 1, 1]),
        ("none", [1.0] * 5, [0] * 5),
    ],
)
def test_weights_by_hand(correction: str, factors: list[float], marks: list[int]):
    sampler = np.full(5, -2.0, dtype=np.float32)
    found, marked = weights(sampler + np.log(RATIOS).astype(np.float32), sampler, REPLIES, correction, 2.0)
    np.testing.assert_allclose(found, factors, rtol=1e-6)
    assert marked.tolist() == [bool(mark) for mark in marks]


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_equal_probabilities_are_not_corrected_and_wild_ones_stay_finite(correction: str):
    same = np.full(5, -1.0, dtype=np.float32)
    assert weights(same, same, REPLIES, correction, 2.0)[0].tolist() == [1.0] * 5
    wild = np.array([-1e4, 1e4, 0, 0, 0], dtype=np.float32)
    assert np.isfinite(weights(wild, same, REPLIES, correction, 2.0)[0]).all()


def test_an_unknown_correction_is_refused():
    with pytest.raises(InputError, match="mismatch"):
        weights(np.zeros(1), np.zeros(1), np.zeros(1), "half", 2.0)
    with pytest.raises(InputError, match="mismatch"):
        trainer(model(), mismatch="half")


def test_what_is_left_out_has_no_weight_and_counts_in_no_average():
    rows = random_rows(6)
    sampled = [row.old.copy() for row in rows]
    for row in rows:
        row.old = row.old + np.float32(0.1)
    sampled[0][:] -= 5.0
    sampled[1][0] -= 5.0
    before = [row.advantages.copy() for row in rows]
    found = correct(rows, sampled, "token_mask", 2.0)
    assert [row.num_kept for row in rows] == [0, rows[1].num_sampled - 1, *(row.num_sampled for row in rows[2:])]
    for row, plain in zip(rows[2:], before[2:], strict=True):
        np.testing.assert_array_equal(row.advantages, plain)
    total = sum(row.num_sampled for row in rows)
    assert found["mismatch_share"] == pytest.approx((rows[0].num_sampled + 1) / total)
    assert found["mismatch_max"] == pytest.approx(5.1, rel=1e-5)
    differences = np.concatenate([row.old - logprobs for row, logprobs in zip(rows, sampled, strict=True)])
    assert found["mismatch_kl"] == pytest.approx(np.mean(np.exp(differences) - differences - 1), rel=1e-4)
    # The trainer gives every token that is kept the same weight; together they have all of it.
    kept = Dealing(rows, GroupConfig(updates=1, use_cpu=True)).next()
    assert len(kept) == 5
    values = torch.cat([batch.weights() for batch in micro_batches(kept, 10**6, CPU)])
    assert float(values.sum()) == pytest.approx(1.0)
    assert int((values == 0).sum()) == 1


class Biased(TransformersPolicy):
    """Says of every third token that it was far likelier than it was: a broken sampler."""

    def open(self, keys: Any, players: Any) -> Any:
        session = super().open(keys, players)
        listen = session.listen

        def boast() -> dict[int, Reply]:
            return {
                row: said._replace(logprobs=tuple(v + 2.0 * (n % 3 == 0) for n, v in enumerate(said.logprobs)))
                for row, said in listen().items()
            }

        session.listen = boast  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_every_correction_trains_and_is_reported(correction: str):
    policy, reports = model().to(torch.bfloat16), []
    made = trainer(policy, "1", iterations=2, mismatch=correction, on_iteration=lambda r: reports.append(r.metrics))
    made.policy = Biased(policy, byte_tokenizer(), Sampling(1.0, 4))
    made.train()
    assert len(reports) == 2
    for metrics in reports:
        assert metrics["mismatch_max"] == pytest.approx(2.0, abs=0.3)
        assert metrics["mismatch_kl"] > 0.1
        assert (metrics["mismatch_share"] > 0.2) == correction.endswith("mask")
    assert all(torch.isfinite(value).all() for value in policy.parameters())
