"""Deltas: the changed weights of a target as one safetensors file.

A delta holds the new values themselves, not differences, in the model's dtype: applying it gives the trained policy
bit for bit, and putting the saved originals back gives the base bit for bit. It names its base by a SHA-256 over every
parameter of the base model and refuses another one. Buffers are not in it: those of the usual families (rotary
frequencies, masks) follow from the configuration and are in no weight file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agents import tensor_header
from agents.delta_card import KEPT_OF_PARTS, card_path, markdown
from envs.errors import InputError, shortened
from envs.files import parse_json, replace, writing

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
    """Hash of all parameters of a model, and no buffers; tied weights count once, under their first name."""
    return fingerprint(dict(model.named_parameters()))


def save(
    path: Path, tensors: Mapping[str, torch.Tensor], *, base_sha256: str, target: str, details: dict[str, Any]
) -> Card:
    """Writes a delta, aside first and then renamed, so that no reader ever sees half a file, and its card beside it.

    Args:
        path: the file to write; for "delta.safetensors" the card is "delta.md".
        tensors: the target's tensors by parameter name, in the model's dtype.
        base_sha256: `base_fingerprint` of the model before training.
        target: the target's name.
        details: JSON-able facts to keep with it.

    Returns:
        The card stored in the file's header.

    Raises:
        StorageError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    values = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    card = Card(base_sha256, fingerprint(values), target, details)
    aside = path.with_name(path.name + ".part")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # One entry only: safetensors writes several in random order, and equal runs shall write equal files.
            save_file(values, str(aside), metadata={FORMAT: json.dumps(asdict(card), sort_keys=True)})
            aside.replace(path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                aside.unlink()
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
    with writing(card_path(path)):
        replace(card_path(path), markdown(path, values, card).encode())
    return card


def check_file(path: Path) -> None:
    """Makes sure that a delta file is there, without reading it.

    Raises:
        InputError: no such file, or a folder; names the delta in it, if it is a run's.
    """
    if os.path.isdir(path):
        inside = path / "delta.safetensors"
        meant = f"the run's delta is delta={inside}" if inside.is_file() else "a delta is one file"
        raise InputError(f"delta={path} is a folder; {meant}.")
    if not os.path.isfile(path):
        raise InputError(f"delta={shortened(str(path), 500)}: no such file.")


def load(path: Path) -> tuple[dict[str, torch.Tensor], Card]:
    """Reads a delta and checks its own checksum.

    Raises:
        InputError: no such file, a folder, no delta, a cut file, or tensors that do not match the checksum.
    """
    from safetensors import SafetensorError, safe_open

    check_file(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"delta={path}: not a readable delta file ({shortened(str(error), 300)}).") from error
    card = read_card(path)
    if fingerprint(tensors) != card.tensors_sha256:
        raise InputError(f"delta={path}: its tensors do not match its checksum; the file was altered.")
    return tensors, card


def read_card(path: Path) -> Card:
    """Reads what a delta file says about itself, from its header alone.

    Raises:
        InputError: no such file, a folder, or no delta.
    """
    check_file(path)
    metadata = tensor_header.read(path).metadata
    if FORMAT not in metadata:
        raise InputError(f"delta={path}: a safetensors file, but not a {FORMAT} file.")
    try:
        card = Card(**parse_json(metadata[FORMAT], "its card"))
        if not all(isinstance(value, str) for value in (card.base_sha256, card.tensors_sha256, card.target)):
            raise TypeError("its card holds something else than texts")
        if not isinstance(card.details, dict):
            raise TypeError("its card's details are no mapping")
    except (TypeError, ValueError) as error:
        raise InputError(f"delta={path}: not a readable delta file ({shortened(str(error), 300)}).") from None
    return card


def check_fit(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Checks that a model has a delta's tensors.

    Raises:
        InputError: unknown tensor names, other shapes or other dtypes.
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


def verify(model: nn.Module, tensors: Mapping[str, torch.Tensor], card: Card) -> None:
    """Checks that a delta belongs to this base model.

    Raises:
        InputError: another base, unknown tensor names, other shapes or other dtypes.
    """
    check_fit(model, tensors)
    found = base_fingerprint(model)
    if found != card.base_sha256:
        raise InputError(f"the delta was made for base {card.base_sha256[:12]}, this model is {found[:12]}.")


def apply(model: nn.Module, tensors: Mapping[str, torch.Tensor], card: Card | None = None) -> dict[str, torch.Tensor]:
    """Writes a delta's tensors into the model.

    Args:
        model: the base.
        tensors: the delta's.
        card: its card; with it the base is verified, which reads all its weights once.

    Returns:
        Copies of the weights it replaced; `revert` puts them back bit for bit.

    Raises:
        InputError: as `check_fit`, and with a card as `verify`; then nothing was written.
    """
    import torch

    if card is None:
        check_fit(model, tensors)
    else:
        verify(model, tensors, card)
    own = dict(model.named_parameters())
    originals = {name: own[name].detach().clone() for name in tensors}
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    return originals


def compose(parts: Sequence[tuple[Mapping[str, torch.Tensor], Card]]) -> tuple[dict[str, torch.Tensor], Card]:
    """Puts deltas of one base on different tensors together; their order does not matter.

    Args:
        parts: tensors and card of each, as `load` returns them.

    Returns:
        All tensors in order of name, and a card that names the parts.

    Raises:
        InputError: fewer than two, of different bases, or two that change the same tensor.
    """
    if len(parts) < 2:
        raise InputError(f"composing needs two deltas or more, got {len(parts)}.")
    ordered = sorted(parts, key=lambda part: part[1].tensors_sha256)
    bases = sorted({card.base_sha256 for _, card in ordered})
    if len(bases) > 1:
        raise InputError(f"deltas of different bases cannot be composed: {', '.join(base[:12] for base in bases)}.")
    tensors: dict[str, torch.Tensor] = {}
    for own, card in ordered:
        shared = sorted(tensors.keys() & own.keys())
        if shared:
            raise InputError(f"delta {card.target} changes {shared[0]!r}, and so does another one of those given.")
        tensors.update(own)
    tensors = {name: tensors[name] for name in sorted(tensors)}
    targets = sorted((card.target for _, card in ordered), key=lambda name: (len(name), name))
    parts_told = [
        {"target": card.target, "tensors_sha256": card.tensors_sha256}
        | {name: card.details[name] for name in KEPT_OF_PARTS if name in card.details}
        for _, card in ordered
    ]
    return tensors, Card(ordered[0][1].base_sha256, fingerprint(tensors), " + ".join(targets), {"parts": parts_told})


class Change(NamedTuple):
    """How far one tensor of a delta lies from another's or the base's.

    Attributes:
        name: the parameter.
        numel: its elements.
        changed: how many of them differ.
        largest: largest absolute difference.
        relative: norm of the difference over the norm of the second; infinite if that is zero and the first is not.
    """

    name: str
    numel: int
    changed: int
    largest: float
    relative: float


def diff(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> list[Change]:
    """Compares two sets of tensors, such as two deltas, or a delta with its base.

    Args:
        first: tensors by name.
        second: tensors by name; those that only one side has are left out.

    Returns:
        One entry for each tensor that both have, in order of name.

    Raises:
        InputError: tensors of one name differ in shape.
    """
    changes = []
    for name in sorted(first.keys() & second.keys()):
        one, other = first[name].detach().cpu().double(), second[name].detach().cpu().double()
        if one.shape != other.shape:
            raise InputError(f"{name!r} is {tuple(one.shape)} in one and {tuple(other.shape)} in the other.")
        gap, size = one - other, float(other.norm())
        moved = float(gap.norm())
        relative = moved / size if size else (math.inf if moved else 0.0)
        largest = float(gap.abs().max()) if gap.numel() else 0.0
        changes.append(Change(name, gap.numel(), int((gap != 0).sum()), largest, relative))
    return changes


def revert(model: nn.Module, originals: Mapping[str, torch.Tensor]) -> None:
    """Puts the weights returned by `apply` back."""
    apply(model, originals)
