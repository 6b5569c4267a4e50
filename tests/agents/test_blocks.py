"""The stack of blocks is found by structure in every family, and a prefix names its block's parameters alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from agents.blocks import find_stack
from envs.errors import InputError

# More than ten blocks, so that block 1 and block 10 start alike.
BLOCKS = 11
COMMON: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
KEYS = {"num_key_value_heads": 1, "head_dim": 4}


def build(family: str) -> PreTrainedModel:
    """A random model of a family."""
    if family == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=50, n_embd=8, n_layer=BLOCKS, n_head=2, bos_token_id=None, eos_token_id=None)
        )
    if family == "gpt_neox":
        return GPTNeoXForCausalLM(GPTNeoXConfig(**COMMON))
    if family == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**COMMON, num_key_value_heads=1))
    families: dict[str, Any] = {
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
        "gemma": (GemmaConfig, GemmaForCausalLM),
        "mistral": (MistralConfig, MistralForCausalLM),
    }
    config, model = families[family]
    return model(config(**COMMON, **KEYS))


PATHS = {
    "qwen2": "model.layers",
    "qwen3": "model.layers",
    "llama": "model.layers",
    "gemma": "model.layers",
    "mistral": "model.layers",
    "gpt2": "transformer.h",
    "gpt_neox": "gpt_neox.layers",
}


@pytest.mark.parametrize("family", PATHS)
def test_the_stack_of_each_family(family: str):
    model = build(family)
    stack = find_stack(model)
    assert stack.path == PATHS[family]
    assert len(stack) == BLOCKS
    assert list(stack.modules) == list(model.get_submodule(PATHS[family]))


@pytest.mark.parametrize("family", PATHS)
def test_a_prefix_names_the_blocks_own_parameters(family: str):
    model = build(family)
    stack = find_stack(model)
    for index, block in enumerate(stack.modules):
        named = {id(value) for name, value in model.named_parameters() if name.startswith(stack.prefix(index))}
        assert named == {id(value) for value in block.parameters()}


@pytest.mark.parametrize("family", PATHS)
def test_blocks_run_lowest_first(family: str):
    model = build(family).eval()
    order: list[int] = []
    for index, block in enumerate(find_stack(model).modules):
        block.register_forward_hook(lambda *_, index=index: order.append(index))
    with torch.no_grad():
        model(torch.tensor([[1, 2, 3]]), use_cache=False)
    assert order == list(range(BLOCKS))


def test_lists_of_unlike_modules_are_no_stack():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2)])
            self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    assert find_stack(Mixed()).path == "blocks"


def test_of_equally_long_lists_the_larger_counts():
    class Twofold(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.large = nn.ModuleList([nn.Linear(9, 9), nn.Linear(9, 9)])
            self.small = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    assert find_stack(Twofold()).path == "large"


def test_a_model_without_blocks_is_refused():
    with pytest.raises(InputError, match="Linear has no stack of equal blocks"):
        find_stack(nn.Linear(2, 2))
