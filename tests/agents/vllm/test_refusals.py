"""What vLLM refuses is told in its own words, in one line."""

from __future__ import annotations

import pytest

from agents.policies.vllm.local import LocalEngine
from agents.samplers import VllmConfig
from envs.errors import InputError
from tests.agents.vllm.tiny import tiny_model


def test_a_context_that_the_model_does_not_have():
    with pytest.raises(
        InputError, match=r"^sampler=vllm: vLLM refuses this model: .*max_model_len \(1000000000\)[^\n]*$"
    ):
        LocalEngine(tiny_model(1), VllmConfig(cache_megabytes=128), 10**9)
