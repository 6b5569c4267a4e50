"""Shapes of models: the sizes that their published config.json state, without weights.

Every entry is (architecture, hidden size, blocks, heads, key heads, head size, feed-forward size, vocabulary, tied).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envs.errors import unknown

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder-only transformer.

    Attributes:
        architecture: "qwen2", "qwen3" or "llama".
        hidden: size of the hidden states D.
        blocks: number of blocks L.
        heads: query heads.
        key_heads: key and value heads.
        head_size: size of a head.
        inner: size of the feed-forward layer.
        vocabulary: number of tokens V.
        tied: whether the head is the embedding.
    """

    architecture: str
    hidden: int
    blocks: int
    heads: int
    key_heads: int
    head_size: int
    inner: int
    vocabulary: int
    tied: bool


SHAPES = {
    "cpu-small": Shape("qwen2", 256, 16, 8, 2, 32, 1024, 4096, True),
    "cpu-medium": Shape("qwen2", 512, 16, 8, 2, 64, 2048, 8192, True),
    "qwen2.5-0.5b": Shape("qwen2", 896, 24, 14, 2, 64, 4864, 151936, True),
    "qwen2.5-1.5b": Shape("qwen2", 1536, 28, 12, 2, 128, 8960, 151936, True),
    "qwen2.5-3b": Shape("qwen2", 2048, 36, 16, 2, 128, 11008, 151936, True),
    "qwen2.5-7b": Shape("qwen2", 3584, 28, 28, 4, 128, 18944, 152064, False),
    "qwen3-0.6b": Shape("qwen3", 1024, 28, 16, 8, 128, 3072, 151936, True),
    "qwen3-1.7b": Shape("qwen3", 2048, 28, 16, 8, 128, 6144, 151936, True),
    "qwen3-4b": Shape("qwen3", 2560, 36, 32, 8, 128, 9728, 151936, True),
    "qwen3-8b": Shape("qwen3", 4096, 36, 32, 8, 128, 12288, 151936, False),
    "llama-3.2-1b": Shape("llama", 2048, 16, 32, 8, 64, 8192, 128256, True),
    "llama-3.2-3b": Shape("llama", 3072, 28, 24, 8, 128, 8192, 128256, True),
}


def find(name: str) -> Shape:
    """A shape by name.

    Raises:
        InputError: no such shape; names the nearest.
    """
    if name.lower() not in SHAPES:
        raise unknown("model", name, SHAPES)
    return SHAPES[name.lower()]


def build(shape: Shape, dtype: torch.dtype, device: str, seed: int = 0) -> PreTrainedModel:
    """A model of that shape with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.blocks,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "head_dim": shape.head_size,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": shape.tied,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
    }
    torch.manual_seed(seed)
    config = AutoConfig.for_model(shape.architecture, **sizes)
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    model.eval()
    return model
