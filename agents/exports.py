"""A delta in the forms that other tools read: a merged model folder, and a LoRA adapter of stated rank and error.

The adapter holds, for every linear layer that the delta changed, the best approximation of the change by a product B A
of the given rank (Eckart and Young, 1936: the largest singular values). Norms, biases and fused experts have no such
product: they are left out, and the stated error says how much of the change that is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import SafetensorError

from agents import deltas
from agents.adapters import LINEAR, are_transposed
from agents.targets import INSTALL_PEFT, is_peft_installed
from envs.errors import InputError
from envs.files import check_empty, writing

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class LoraError(NamedTuple):
    """What an adapter loses of a delta.

    Attributes:
        rank: of the adapter.
        relative: Frobenius norm of what is lost over that of the whole change, layers that are left out included.
        left_out: changed tensors that an adapter cannot hold.
        left_out_share: their share of the change's squared norm.
    """

    rank: int
    relative: float
    left_out: tuple[str, ...]
    left_out_share: float


def save_merged(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tensors: Mapping[str, torch.Tensor], out: Path
) -> None:
    """Writes the base with a delta laid over it as an ordinary model folder; the model is left as it was.

    Raises:
        InputError: the folder exists and is not empty.
        StorageError: it cannot be written; then there is nothing of it.
    """
    check_empty(out)
    originals = deltas.apply(model, tensors)
    try:
        with _made(out) as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    finally:
        deltas.revert(model, originals)


def save_lora(
    model: PreTrainedModel, tensors: Mapping[str, torch.Tensor], rank: int, out: Path, base: str
) -> LoraError:
    """Writes a delta's best approximation of a rank as an adapter that PEFT loads; the model is left as it was.

    Args:
        model: the base.
        tensors: the delta.
        rank: at least 1.
        out: the folder to write.
        base: how the adapter names its base model.

    Returns:
        What is lost.

    Raises:
        InputError: PEFT is missing, the folder is not empty, the rank is not positive, or no linear layer changed.
        StorageError: the folder cannot be written; then there is nothing of it.
    """
    if rank < 1:
        raise InputError(f"rank={rank} must be 1 or more.")
    if not is_peft_installed():
        raise InputError(f"a LoRA adapter needs PEFT, which is not installed: {INSTALL_PEFT}")
    check_empty(out)
    from peft import LoraConfig, get_peft_model

    own = dict(model.named_parameters())
    changes = {name: (value.to(own[name].device) - own[name].detach()).float() for name, value in tensors.items()}
    changes = {name: change for name, change in changes.items() if bool(change.any())}
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LINEAR)}
    linear = {f"{name}.weight": name for name in layers}
    held = {name: linear[name] for name in changes if name in linear}
    # From here on all are (out, in), as B A is.
    changes |= {name: changes[name].T for name, module in held.items() if are_transposed([layers[module]])}
    if not held:
        raise InputError("the delta changes no linear layer, so there is nothing that an adapter could hold.")
    factors = {module: _factors(changes[name], rank) for name, module in held.items()}
    settings = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=list(held.values()),
        bias="none",
        fan_in_fan_out=are_transposed(layers[module] for module in held.values()),
    )
    grad = {name: value.requires_grad for name, value in own.items()}
    adapted = get_peft_model(model, settings)
    try:
        modules = dict(model.named_modules())
        for module, (first, second) in factors.items():
            layer = modules[module]
            with torch.no_grad():
                layer.lora_A["default"].weight.copy_(first)
                layer.lora_B["default"].weight.copy_(second)
        # PEFT puts in the place that the model was loaded from.
        settings.base_model_name_or_path = base
        # Otherwise it asks the hub for the base, to see whether its vocabulary grew.
        with _made(out) as folder:
            adapted.save_pretrained(str(folder), save_embedding_layers=False)
    finally:
        adapted.unload()
        for name, value in model.named_parameters():
            value.requires_grad_(grad[name])
    return _error(changes, held, factors, rank)


@contextmanager
def _made(out: Path) -> Iterator[Path]:
    """Lends a new folder that becomes `out`, which is not there or empty, once the block has ended without an error.

    Raises:
        StorageError: it cannot be written; nothing is left.
    """
    place = out.resolve()
    with writing(out):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{place.name}.", suffix=".part", dir=place.parent) as scratch:
            # The scratch folder is for its maker's eyes alone; what is in it has the usual rights.
            folder = Path(scratch) / place.name
            folder.mkdir()
            try:
                yield folder
            except Exception as error:
                # What safetensors and tokenizers raise of a full disk; the latter has no kind of its own for it.
                if type(error) in (SafetensorError, Exception):
                    raise OSError(str(error)) from error
                raise
            folder.replace(place)


def _factors(change: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A (rank, in) and B (out, rank) whose product is nearest to the change; padded with zeros beyond its own rank."""
    left, values, right = torch.linalg.svd(change.double(), full_matrices=False)
    kept = min(rank, len(values))
    root = values[:kept].sqrt()
    first, second = change.new_zeros(rank, change.shape[1]), change.new_zeros(change.shape[0], rank)
    first[:kept] = (root[:, None] * right[:kept]).to(first.dtype)
    second[:, :kept] = (left[:, :kept] * root).to(second.dtype)
    return first, second


def _error(
    changes: Mapping[str, torch.Tensor],
    held: Mapping[str, str],
    factors: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    rank: int,
) -> LoraError:
    whole = sum(float(change.double().square().sum()) for change in changes.values())
    out = sum(float(change.double().square().sum()) for name, change in changes.items() if name not in held)
    lost = out
    for name, module in held.items():
        first, second = factors[module]
        lost += float((changes[name].double() - second.double() @ first.double()).square().sum())
    left_out = tuple(sorted(name for name in changes if name not in held))
    return LoraError(rank, (lost / whole) ** 0.5, left_out, out / whole)
