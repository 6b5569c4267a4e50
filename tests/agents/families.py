"""Small random models of ten families of decoder-only transformers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    JambaConfig,
    JambaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OlmoConfig,
    OlmoForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

PATHS = {
    "qwen2": "model.layers",
    "qwen3": "model.layers",
    "qwen3_moe": "model.layers",
    "llama": "model.layers",
    "gemma": "model.layers",
    "mistral": "model.layers",
    "olmo": "model.layers",
    "phi": "model.layers",
    "gpt2": "transformer.h",
    "gpt_neox": "gpt_neox.layers",
}
"""Where each family keeps its blocks."""
_NONE = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
_GROUPED = {"num_key_value_heads": 1}
_HEADS = _GROUPED | {"head_dim": 4}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "decoder_sparse_step": 1}
_CLASSES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, _GROUPED),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, _HEADS),
    "qwen3_moe": (Qwen3MoeConfig, Qwen3MoeForCausalLM, _HEADS | _EXPERTS),
    "llama": (LlamaConfig, LlamaForCausalLM, _HEADS),
    "gemma": (GemmaConfig, GemmaForCausalLM, _HEADS),
    "mistral": (MistralConfig, MistralForCausalLM, _HEADS),
    "olmo": (OlmoConfig, OlmoForCausalLM, _GROUPED),
    "phi": (PhiConfig, PhiForCausalLM, {}),
    "gpt_neox": (GPTNeoXConfig, GPTNeoXForCausalLM, {}),
}


def build(family: str, blocks: int = 11, vocabulary: int = 50, seed: int = 0) -> PreTrainedModel:
    """A random model of a family, with more than ten blocks so that block 1 and block 10 begin alike."""
    torch.manual_seed(seed)
    if family == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_embd=8,
                n_layer=blocks,
                n_head=2,
                initializer_range=0.2,
                n_positions=512,
                **_NONE,
            )
        ).eval()
    config, model, options = _CLASSES[family]
    return model(
        config(
            vocab_size=vocabulary,
            hidden_size=8,
            intermediate_size=12,
            num_hidden_layers=blocks,
            num_attention_heads=2,
            max_position_embeddings=512,
            initializer_range=0.2,
            **_NONE,
            **options,
        )
    ).eval()


def hybrid(blocks: int = 4) -> PreTrainedModel:
    """A random Jamba: state-space and attention layers of two classes take turns, half of them with experts."""
    torch.manual_seed(0)
    config = JambaConfig(
        vocab_size=50,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=blocks,
        num_attention_heads=2,
        num_key_value_heads=1,
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        num_experts=4,
        mamba_d_state=4,
        mamba_d_conv=2,
        use_mamba_kernels=False,
        **_NONE,
    )
    return JambaForCausalLM(config).eval()
