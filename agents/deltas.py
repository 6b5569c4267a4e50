"""Deltas: the changed weights of a target as one safetensors file.

A delta holds the new values themselves, not differences, in the model's dtype: applying it gives the trained policy
bit for bit, and putting the saved originals back gives the base bit for bit. It names its base by a SHA-256 over every
tensor of the base model and refuses another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

FORMAT = "keystone-delta-1"


@dataclass(frozen=True)
class Card:
    """What a delta file says about itself.

    Attributes:
        base_sha256: hash of the base model's weights.
        tensors_sha256: hash of the delta's own tensors.
        target: the target's name, for example "4" or "full".
        details: anything else worth keeping (environment, algorithm, seed).
    """

    base_sha256: str
    tensors_sha256: str
    target: str
    details: dict[str, Any]


def fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in order of name."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def base_fingerprint(model: nn.Module) -> str:
    """Hash of all weights of a model; tied weights count once, under their first name."""
    return fingerprint(dict(model.named_parameters()))


def save(
    path: Path, tensors: Mapping[str, torch.Tensor], *, base_sha256: str, target: str, details: dict[str, Any]
) -> Card:
    """Writes a delta, aside first and then renamed, so that no reader ever sees half a file.

    Args:
        path: the file to write.
        tensors: the target's tensors by parameter name, in the model's dtype.
        base_sha256: `base_fingerprint` of the model before training.
        target: the target's name.
        details: JSON-able facts to keep with it.

    Returns:
        The card stored in the file's header.
    """
    from safetensors.torch import save_file

    values = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    card = Card(base_sha256, fingerprint(values), target, details)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    # One entry only: safetensors writes several in random order, and equal runs shall write equal files.
    save_file(values, str(aside), metadata={FORMAT: json.dumps(asdict(card), sort_keys=True)})
    aside.replace(path)
    return card


def load(path: Path) -> tuple[dict[str, torch.Tensor], Card]:
    """Reads a delta and checks its own checksum.

    Raises:
        InputError: no such file, no delta, a cut file, or tensors that do not match the checksum.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"delta={path}: no such file.")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if FORMAT not in metadata:
            raise InputError(f"delta={path}: a safetensors file, but not a {FORMAT} file.")
        card = Card(**json.loads(metadata[FORMAT]))
    except (SafetensorError, json.JSONDecodeError, TypeError) as error:
        raise InputError(f"delta={path}: not a readable delta file ({error}).") from error
    if fingerprint(tensors) != card.tensors_sha256:
        raise InputError(f"delta={path}: its tensors do not match its checksum; the file was altered.")
    return tensors, card


def verify(model: nn.Module, tensors: Mapping[str, torch.Tensor], card: Card) -> None:
    """Checks that a delta belongs to this base model.

    Raises:
        InputError: another base, unknown tensor names, other shapes or other dtypes.
    """
    own = dict(model.named_parameters())
    for name, tensor in tensors.items():
        if name not in own:
            raise InputError(f"the delta changes {name!r}, which this model does not have.")
        if own[name].shape != tensor.shape or own[name].dtype != tensor.dtype:
            raise InputError(
                f"the delta's {name!r} is {tuple(tensor.shape)} {tensor.dtype}, "
                f"the model's is {tuple(own[name].shape)} {own[name].dtype}."
            )
    found = base_fingerprint(model)
    if found != card.base_sha256:
        raise InputError(f"the delta was made for base {card.base_sha256[:12]}, this model is {found[:12]}.")


def apply(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Writes a delta's tensors into the model.

    Returns:
        Copies of the weights it replaced; `revert` puts them back bit for bit.
    """
    import torch

    own = dict(model.named_parameters())
    originals = {name: own[name].detach().clone() for name in tensors}
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    return originals


def revert(model: nn.Module, originals: Mapping[str, torch.Tensor]) -> None:
    """Puts the weights returned by `apply` back."""
    apply(model, originals)
