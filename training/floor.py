"""The least compute one iteration's updates can take, and so the best ratio of a target's update time to full training.

In units of one parameter's multiply-add over one token, a pass forward costs the parameters it crosses, the gradient
of activations the same again for what lies above the lowest trained block, the gradient of weights the same again for
what is trained. What lies below the lowest trained block is crossed once, however many passes there are. With L equal
blocks, a free head, E epochs and X passes without gradients (reference, recomputed log-probabilities) that is
k + (E + X)(L - k) + E (L - k) for block k against (3 E + X) L for everything.
"""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from agents.blocks import find_stack
from agents.targets import Target, full, parameters


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def update_compute(
    model: PreTrainedModel,
    target: Target,
    extra_forward_passes: int = 0,
    epochs: int = 1,
    *,
    head_share: float = 1.0,
) -> float:
    """Parameter passes a token: forward, gradient of activations, gradient of weights.

    Args:
        model: the model; its blocks and output head are counted, its embedding is a look-up and is not.
        target: the trained part.
        extra_forward_passes: passes without gradients that an iteration needs besides (reference, recomputed
            log-probabilities).
        epochs: passes with gradients.
        head_share: share of the tokens that the head runs on: those that were sampled.

    Returns:
        The count.
    """
    blocks = [_size(block) for block in find_stack(model).modules]
    head = head_share * _size(model.get_output_embeddings())
    if target.everything:
        return (sum(blocks) + head) * (3 * epochs + extra_forward_passes)
    below, above = sum(blocks[: target.lowest]), sum(blocks[target.lowest :]) + head
    activations = sum(blocks[target.lowest + 1 :]) + head
    # Adapters are too small to count.
    weights = 0 if target.lora else sum(parameter.numel() for parameter in parameters(model, target).values())
    return below + above * (epochs + extra_forward_passes) + epochs * (activations + weights)


def update_floor(
    model: PreTrainedModel,
    target: Target,
    extra_forward_passes: int = 0,
    epochs: int = 1,
    *,
    head_share: float = 1.0,
) -> float:
    """`update_compute` of the target over that of full training."""
    everything = update_compute(
        model, full(len(find_stack(model))), extra_forward_passes, epochs, head_share=head_share
    )
    return update_compute(model, target, extra_forward_passes, epochs, head_share=head_share) / everything
