"""A world that even a random model wins now and then, and such a model: what the trainer's tests learn on."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from tests.agents.models import byte_tokenizer
from tests.training.doors import Guess, GuessConfig

__all__ = ["Guess", "GuessConfig", "small_model", "write_model"]


def small_model(blocks: int = 8) -> PreTrainedModel:
    """A random Qwen3."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=420,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=blocks,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=512,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


def write_model(folder: Path, blocks: int = 8) -> Path:
    """Saves the random model with a tokenizer as an ordinary model folder."""
    small_model(blocks).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
