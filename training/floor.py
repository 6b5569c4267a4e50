"""The least compute one update can take, and so the best ratio of a target's update time to that of full training.

In units of one parameter's multiply-add over one token, a pass forward costs the parameters it crosses, the gradient
of activations the same again for what lies above the lowest trained block, the gradient of weights the same again for
what is trained. With L equal blocks and a free head that is L + (L - k) for block k against 3L for everything.
"""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from agents.blocks import find_stack
from agents.targets import Target, full, parameters


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def update_compute(model: PreTrainedModel, target: Target, extra_forward_passes: int = 0) -> int:
    """Parameter passes a token: forward, gradient of activations, gradient of weights.

    Args:
        model: the model; its blocks and output head are counted, its embedding is a look-up and is not.
        target: the trained part.
        extra_forward_passes: passes without gradients an update needs besides (reference, recomputed
            log-probabilities).

    Returns:
        The count.
    """
    blocks = [_size(block) for block in find_stack(model).modules]
    head = _size(model.get_output_embeddings())
    forward = sum(blocks) + head
    if target.everything:
        return forward * (3 + extra_forward_passes)
    activations = sum(blocks[target.lowest + 1 :]) + head
    # Adapters are too small to count.
    weights = 0 if target.lora else sum(parameter.numel() for parameter in parameters(model, target).values())
    return forward * (1 + extra_forward_passes) + activations + weights


def update_floor(model: PreTrainedModel, target: Target, extra_forward_passes: int = 0) -> float:
    """`update_compute` of the target over that of full training."""
    everything = update_compute(model, full(len(find_stack(model))), extra_forward_passes)
    return update_compute(model, target, extra_forward_passes) / everything
