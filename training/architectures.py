"""The architectures that a starting policy can have: small models of random weights, of one shape in every family.

Qwen3 norms each head's queries and keys, Qwen2 adds biases to them and to the values, Llama does neither; at one shape
they differ by less than a hundredth of their parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

if TYPE_CHECKING:
    from training.warmstart import ShapeConfig

_FAMILIES: dict[str, tuple[type[PretrainedConfig], type[PreTrainedModel]]] = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}


def build_model(shape: ShapeConfig, vocabulary: int, end: int, pad: int) -> PreTrainedModel:
    """A causal language model with random float32 weights and a tied head.

    Args:
        shape: its family and sizes.
        vocabulary: number of tokens.
        end: the id that ends a reply.
        pad: the id that fills rows up.

    Returns:
        The model; its weights come from PyTorch's global generator.
    """
    make_config, make_model = _FAMILIES[shape.family]
    options: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.blocks,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_width,
        "max_position_embeddings": shape.context,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "eos_token_id": end,
        "pad_token_id": pad,
        "bos_token_id": None,
        "dtype": "float32",
    }
    return make_model(make_config(**options))
