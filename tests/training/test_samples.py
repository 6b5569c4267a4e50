"""The kept sample of training episodes: whole groups, each turn with the anchor and advantage that training used."""

from __future__ import annotations

import json

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.rollout import rollout
from agents.types import Episode, StopReason
from evals.scoring import episode_of
from tests.agents.models import byte_tokenizer, model
from tests.training.guessing import Guess
from training.advantages import gigpo
from training.collect import Estimator, from_episodes
from training.samples import sample_rows
from training.tasks import iteration_keys

ESTIMATOR = Estimator(gigpo, gigpo.Config(), 10.0, 0.1)
KEYS = iteration_keys(Guess(), 5, 2, 3, 4)


def test_rows_are_whole_groups_with_what_training_used():
    episodes = rollout(Guess, TransformersPolicy(model(), byte_tokenizer(), Sampling(1.0, 4)), KEYS)
    # Interleaved, as in a rollout with further rounds.
    shuffled = episodes[::2] + episodes[1::2]
    collected = from_episodes(shuffled, ESTIMATOR)
    rows = [json.loads(json.dumps(row)) for row in sample_rows(collected, 2, arm="layer", purpose="training")]
    tasks = list(dict.fromkeys(key.task for key in KEYS))[:2]
    wanted = [episode for episode in shuffled if episode.key.task in tasks]
    assert [(row["task"], row["member"]) for row in rows] == [(e.key.task, e.key.member) for e in wanted]
    assert len(rows) == 8
    values = {episode.key: found for episode, found in zip(shuffled, ESTIMATOR.advantages(shuffled), strict=True)}
    for row, episode in zip(rows, wanted, strict=True):
        assert (row["arm"], row["purpose"]) == ("layer", "training")
        assert [turn["anchor"] for turn in row["turns"]] == [turn.anchor for turn in episode.turns]
        assert [turn["advantage"] for turn in row["turns"]] == [round(float(v), 6) for v in values[episode.key]]
        assert [turn.observation for turn in episode_of(row).turns] == [turn.observation for turn in episode.turns]
    assert any(turn["advantage"] for row in rows for turn in row["turns"])


def test_a_broken_episode_has_anchors_and_no_advantage():
    episodes = rollout(Guess, TransformersPolicy(model(), byte_tokenizer(), Sampling(1.0, 4)), KEYS[:4])
    broken = Episode(KEYS[0], turns=episodes[0].turns, stop=StopReason.ERROR, error="it broke")
    rows = list(sample_rows(from_episodes([broken, *episodes[1:]], ESTIMATOR), 1))
    assert ["advantage" in turn for row in rows for turn in row["turns"]] == [
        row["error"] is None for row in rows for _ in row["turns"]
    ]
    assert all("anchor" in turn for row in rows for turn in row["turns"])
