"""The same model through vLLM and through our own session: the same prompts, replies and log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from agents.policies.synced import SyncError
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.policies.vllm.policy import VllmPolicy
from agents.policies.vllm.weights import SyncedWeights
from agents.prompts import manner_of
from agents.rollout import rollout
from agents.rows import rows
from agents.types import Episode, EpisodeKey, Policy, StopReason
from envs.types import TextEnv
from tests.agents.models import Corridor, byte_tokenizer
from tests.agents.vllm.tiny import tiny_model

if TYPE_CHECKING:
    from agents.policies.vllm.local import LocalEngine

KEYS = [EpisodeKey(5, 2, f"walk:{index % 4}", index // 4) for index in range(8)]


@pytest.fixture
def weights(engine: LocalEngine) -> SyncedWeights:
    """The engine is all tests' and holds whatever the last of them has sent."""
    made = SyncedWeights(tiny_model(11), engine)
    made.refresh()
    return made


def both(weights: SyncedWeights, temperature: float, context: str = "full", chat: bool = False) -> list[Policy]:
    manner, sampling, tokenizer = manner_of(TextEnv, context), Sampling(temperature, 9), byte_tokenizer(chat)
    return [
        TransformersPolicy(weights.model, tokenizer, sampling, manner=manner),
        VllmPolicy(weights, tokenizer, sampling, manner=manner),
    ]


def said(episodes: Sequence[Episode]) -> list[Any]:
    return [[(turn.prompt_tokens, turn.tokens, turn.fresh, turn.action) for turn in e.turns] for e in episodes]


@pytest.mark.parametrize("context", ["full", "window:2"])
@pytest.mark.parametrize("chat", [False, True], ids=["plain", "chat"])
def test_greedy_episodes_are_those_of_our_own_session(weights: SyncedWeights, context: str, chat: bool):
    ours, theirs = (rollout(Corridor, policy, KEYS) for policy in both(weights, 0.0, context, chat))
    assert said(theirs) == said(ours)
    for one, other in zip(ours, theirs, strict=True):
        assert one.stop == other.stop
        for turn, same in zip(one.turns, other.turns, strict=True):
            np.testing.assert_allclose(same.logprobs, turn.logprobs, atol=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_the_trainers_at_the_sampling_temperature(weights: SyncedWeights, temperature: float):
    _, policy = both(weights, temperature)
    seen = 0
    for episode in rollout(Corridor, policy, KEYS):
        for row in rows(episode):
            with torch.no_grad():
                logits = weights.model(torch.from_numpy(row.tokens.astype(np.int64))[None]).logits[0]
            logprobs = (logits / temperature).log_softmax(-1)
            places = np.flatnonzero(row.sampled)
            expected = logprobs[places - 1, torch.from_numpy(row.tokens[places].astype(np.int64))]
            np.testing.assert_allclose(row.logprobs[places], expected.numpy(), atol=1e-3)
            seen += len(places)
    assert seen > 100


def test_a_reply_keeps_the_id_that_ended_it(weights: SyncedWeights):
    _, policy = both(weights, 1.0)
    turns = [turn for episode in rollout(Corridor, policy, KEYS) for turn in episode.turns]
    stops = policy.dialogue.stops  # type: ignore[attr-defined]
    assert any(turn.tokens[-1] in stops for turn in turns)
    assert all((len(turn.tokens) == 9) or turn.tokens[-1] in stops for turn in turns)
    assert not any(set(turn.tokens[:-1]) & stops for turn in turns)


def test_draws_follow_from_the_key_and_not_from_the_batch(weights: SyncedWeights):
    _, policy = both(weights, 1.0)
    together = said(rollout(Corridor, policy, KEYS))
    assert said(rollout(Corridor, policy, KEYS[::-1], batch=3)) == together[::-1]
    others = [key._replace(iteration=3) for key in KEYS]
    assert said(rollout(Corridor, policy, others)) != together


def test_an_episode_that_outgrows_the_context_ends(weights: SyncedWeights):
    policies = both(weights, 0.0)
    ours, theirs = (rollout(lambda: Corridor(steps=80), policy, KEYS[:2]) for policy in policies)
    assert said(theirs) == said(ours)
    assert {episode.stop for episode in theirs} == {episode.stop for episode in ours}
    assert StopReason.CONTEXT in {episode.stop for episode in theirs}


def test_later_turns_find_their_prefix_in_the_cache_until_a_sync(weights: SyncedWeights):
    engine = weights.engine
    cached: list[int] = []

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(engine, name)

        def sample(self, requests: Any) -> Any:
            made = engine.sample(requests)
            cached.extend(one.cached for one in made)
            return made

    weights.engine = Watched()  # type: ignore[assignment]
    try:
        _, policy = both(weights, 0.0, chat=True)
        weights.sync(dict(weights.model.named_parameters()), weights.version + 1)
        rollout(Corridor, policy, KEYS[:1])
        assert cached[0] == 0
        assert cached[-1] >= 32
        again = len(cached)
        rollout(Corridor, policy, KEYS[:1])
        assert cached[again] > 0
        weights.sync(dict(weights.model.named_parameters()), weights.version + 1)
        again = len(cached)
        rollout(Corridor, policy, KEYS[:1])
        assert cached[again] == 0
    finally:
        weights.engine = engine


def test_conversations_of_old_weights_are_stale(weights: SyncedWeights):
    _, policy = both(weights, 1.0)
    env = Corridor()
    observation, info = env.reset(options={"task": "walk:1"})
    session = policy.open(KEYS, None)  # type: ignore[arg-type]
    session.reply([0], [observation], [info])
    weights.sync({"model.norm.weight": weights.model.get_parameter("model.norm.weight")}, weights.version + 1)
    with pytest.raises(SyncError, match="their samples are stale"):
        session.reply([0], [observation], [info])


def test_a_policy_does_not_open_with_weights_that_were_not_sent(engine: LocalEngine):
    weights = SyncedWeights(tiny_model(12), engine)
    _, policy = both(weights, 1.0)
    with pytest.raises(SyncError, match="not proven"):
        policy.open(KEYS, None)  # type: ignore[arg-type]
    weights.refresh()
    policy.open(KEYS, None)  # type: ignore[arg-type]
    with torch.no_grad():
        weights.model.get_parameter("model.layers.2.mlp.up_proj.weight").mul_(1.5)
    with pytest.raises(SyncError, match="have changed since the last sync"):
        policy.open(KEYS, None)  # type: ignore[arg-type]
