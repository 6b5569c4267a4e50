"""A real vLLM server as the engine: the same replies, the same sync, the same refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from agents.policies.synced import SyncError
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.policies.vllm.policy import VllmPolicy
from agents.policies.vllm.start import open_sampler
from agents.rollout import rollout
from agents.samplers import VllmConfig
from agents.targets import parameters, parse
from agents.types import EpisodeKey
from envs.errors import InputError
from tests.agents.models import Corridor, byte_tokenizer
from tests.agents.vllm.serving import free_port, serving
from tests.agents.vllm.tiny import CONTEXT, tiny_model

if TYPE_CHECKING:
    from agents.policies.vllm.weights import SyncedWeights

KEYS = [EpisodeKey(5, 2, f"walk:{index % 4}", index // 4) for index in range(8)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    tiny_model(99).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    with serving(folder, free_port()) as started:
        yield started.url


@pytest.fixture
def weights(url: str) -> SyncedWeights:
    """The server is all tests' and holds whatever the last of them has sent."""
    return open_sampler(tiny_model(31), VllmConfig(url=url))


def test_the_server_gets_all_weights_once(weights: SyncedWeights):
    assert weights.engine.max_context == CONTEXT
    names = [name for name, _ in weights.model.named_parameters()]
    assert "" not in weights.engine.digests(names).values()
    weights.check()


def test_greedy_episodes_are_those_of_our_own_session(weights: SyncedWeights):
    ours = rollout(Corridor, TransformersPolicy(weights.model, byte_tokenizer(), Sampling(0.0, 9)), KEYS)
    theirs = rollout(Corridor, VllmPolicy(weights, byte_tokenizer(), Sampling(0.0, 9)), KEYS)
    for one, other in zip(ours, theirs, strict=True):
        assert [(turn.prompt_tokens, turn.tokens) for turn in other.turns] == [
            (turn.prompt_tokens, turn.tokens) for turn in one.turns
        ]
        for turn, same in zip(one.turns, other.turns, strict=True):
            np.testing.assert_allclose(same.logprobs, turn.logprobs, atol=1e-3)


def test_draws_follow_from_the_key(weights: SyncedWeights):
    policy = VllmPolicy(weights, byte_tokenizer(), Sampling(0.7, 9))
    first, second = ([turn.tokens for e in rollout(Corridor, policy, KEYS) for turn in e.turns] for _ in range(2))
    assert first == second


def test_a_sync_of_one_block_and_a_skipped_one(weights: SyncedWeights):
    target = parse("2", 4)
    assert target is not None
    chosen = parameters(weights.model, target)
    with torch.no_grad():
        for value in chosen.values():
            value.add_(torch.randn_like(value), alpha=0.02)
    with pytest.raises(SyncError, match="have changed since the last sync"):
        weights.check()
    report = weights.sync(chosen, 7)
    assert report.bytes == sum(value.numel() * 4 for value in chosen.values())
    assert report.read_back == len(chosen)
    assert report.moved > 1e-2
    assert report.moved_there == pytest.approx(report.moved, rel=1e-3)
    weights.check()
    assert weights.version == 7


def test_a_server_that_lost_its_weights_is_noticed(url: str, weights: SyncedWeights):
    other = open_sampler(tiny_model(32), VllmConfig(url=url))
    other.check()
    with pytest.raises(SyncError, match="the engine is at weights"):
        weights.check()


def test_a_wrong_tensor_is_the_servers_error(weights: SyncedWeights):
    with pytest.raises(SyncError):
        weights.sync({"model.layers.1.mlp.no_such.weight": torch.zeros(3)}, 9)
    with pytest.raises(SyncError, match="not proven"):
        weights.check()
    weights.refresh()
    weights.check()


def test_no_server_is_one_line_with_the_line_that_starts_it():
    with pytest.raises(
        InputError, match=r"no vLLM server that takes weights answers there .* Start it with: VLLM_SERVER"
    ):
        open_sampler(tiny_model(), VllmConfig(url="http://127.0.0.1:9"))
