"""Frozen weights in 8 or 4 bits, so that one layer of a large model trains on a small GPU (bitsandbytes).

What is never trained need not be stored in full: all linear maps but those of the target's blocks and of the output
head are kept as 8-bit integers with a scale a row (LLM.int8(), arXiv 2208.07339, without its outlier columns: which
columns those are depends on what else is in a batch, and a result must not) or in 4 bits (NF4, arXiv 2305.14314).
Gradients pass through them. The policy is then the rounded model's, not the model's own: how far they are apart is for
the base arm's score to say. The target's tensors are the model's own to the last bit, so a delta is one of the model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from agents.blocks import find_stack

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from agents.targets import Target

BYTES = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}
"""Of a weight; NF4 keeps a float32 scale for every 64."""


def kept_modules(model: PreTrainedModel, target: Target) -> list[str]:
    """Names of the modules that stay as they are: the target's blocks and the output head."""
    stack, head = find_stack(model), model.get_output_embeddings()
    blocks = [stack.prefix(index).removesuffix(".") for index in target.indices]
    return [*blocks, *(name for name, module in model.named_modules() if module is head)]


def settings(frozen: str, kept: Sequence[str], dtype: torch.dtype) -> Any:  # noqa: ANN401
    """What transformers is told when it loads the model."""
    from transformers import BitsAndBytesConfig

    # It says of every product that its inputs are cast.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if frozen == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0, llm_int8_skip_modules=list(kept))
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(kept),
    )


def keep_layout(model: nn.Module) -> None:
    """Keeps rounded weights as they were stored.

    On processors with bfloat16 instructions bitsandbytes packs 4-bit weights anew at the first pass without gradients,
    and a backward pass through them then fails or is another one.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def stored_bytes(model: PreTrainedModel, frozen: str, kept: Sequence[str]) -> int:
    """Bytes of a model's weights once they are stored so; it may lie on the meta device."""
    rounded = {
        id(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not any(f"{name}.".startswith(f"{other}.") for other in kept)
    }
    return int(
        sum(
            parameter.numel() * (BYTES[frozen] if id(parameter) in rounded else parameter.element_size())
            for parameter in model.parameters()
        )
    )


@contextmanager
def taken_for_whole(model: PreTrainedModel) -> Iterator[None]:
    """While it lasts, the model does not say that weights are rounded.

    `transformers.Trainer` refuses rounded weights without asking whether they are what is trained.
    """
    whole: Any = model
    rounded, whole.is_quantized = getattr(whole, "is_quantized", False), False
    try:
        yield
    finally:
        whole.is_quantized = rounded
