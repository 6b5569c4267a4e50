"""LoRA on the linear layers of a target's blocks, through PEFT: the baseline of layer-targeted training.

Adapters live in the model only while it is trained. What leaves are the merged weights W + scale * B A under the
plain model's own parameter names, so that deltas, snapshots and reverts need not know of them.

Paper: Hu et al., "LoRA", arXiv 2106.09685. Left out: adapters on anything but linear layers, `nn.Linear` and the
transposed ones of GPT-2 (fused experts stay as they are), dropout, and biases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from agents.targets import Target, check_installed, prefixes
from envs.errors import InputError

NAME = "target"
"""What PEFT calls the adapter."""
LINEAR = (nn.Linear, Conv1D)
"""Layers that an adapter goes on; GPT-2's `Conv1D` holds its weight as (in, out), the transpose of `nn.Linear`'s."""


def attach(model: nn.Module, target: Target, rank: int, alpha: int, seed: int) -> dict[str, nn.Parameter]:
    """Puts adapters on every linear layer of a target's blocks; nothing else of the model requires gradients then.

    Args:
        model: the model, changed in place; its outputs stay what they are, as B begins at 0.
        target: a LoRA target.
        rank: of the adapters.
        alpha: their outputs are scaled by alpha / rank.
        seed: keys the initial A.

    Returns:
        The adapters' parameters by name.

    Raises:
        InputError: PEFT is missing, or the target has no linear layer.
    """
    check_installed(target)
    from peft import LoraConfig, inject_adapter_in_model

    chosen = prefixes(model, target)
    layers = {
        name: module for name, module in model.named_modules() if isinstance(module, LINEAR) and name.startswith(chosen)
    }
    if not layers:
        raise InputError(f"layer={target.name}: {type(model).__name__} has no linear layers there for LoRA to adapt.")
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = LoraConfig(
            r=rank,
            lora_alpha=alpha,
            target_modules=list(layers),
            lora_dropout=0.0,
            bias="none",
            fan_in_fan_out=are_transposed(layers.values()),
        )
        inject_adapter_in_model(settings, model, adapter_name=NAME)
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def are_transposed(layers: Iterable[nn.Module]) -> bool:
    """Whether PEFT is to be told that layers hold their weights as (in, out); it sees to mixed ones by itself."""
    return all(isinstance(layer, Conv1D) for layer in layers)


def _layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


@torch.no_grad()
def merged(model: nn.Module) -> dict[str, torch.Tensor]:
    """The adapted weights as the plain model would hold them, by its own parameter names."""
    weights = {}
    for name, layer in _layers(model):
        base = layer.get_base_layer()
        weights[f"{name}.weight"] = base.weight + layer.get_delta_weight(NAME).to(base.weight.dtype)
    return weights


@torch.no_grad()
def detach(model: nn.Module) -> None:
    """Writes the adapters into the weights and takes them out of the model."""
    weights = merged(model)
    for name, layer in list(_layers(model)):
        base = layer.get_base_layer()
        base.weight.copy_(weights[f"{name}.weight"])
        model.set_submodule(name, base)
    if hasattr(model, "peft_config"):
        del model.peft_config
