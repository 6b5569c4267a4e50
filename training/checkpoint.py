"""Checkpoints of an arm's training at iteration boundaries: masters, moments and counters, without pickle.

Random draws are keyed by iteration, so no generator state belongs to a checkpoint. The tensors and the counters are one
safetensors file, written aside and renamed: a checkpoint is there whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from envs.errors import InputError, shortened
from envs.files import parse_json
from training.processes import current


def save(path: Path, tensors: Mapping[str, torch.Tensor], counters: Mapping[str, Any]) -> None:
    """Writes a checkpoint, if this is the process that writes.

    Args:
        path: the file.
        tensors: what `MasterAdamW.export` gave, or any named tensors.
        counters: JSON-able values.
    """
    if not current().main:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    save_file(dict(tensors), str(aside), metadata={"counters": json.dumps(dict(counters), sort_keys=True)})
    aside.replace(path)


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads a checkpoint; of several processes one reads it for all.

    Raises:
        InputError: the file is cut or is no checkpoint.
    """
    tensors: dict[str, torch.Tensor] = {}

    def read() -> dict[str, Any]:
        found, counters = _read(path)
        tensors.update(found)
        return counters

    counters = current().first(read)
    return current().tensors(tensors), counters


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            counters = parse_json((file.metadata() or {})["counters"], "its counters")
            if not isinstance(counters, dict):
                raise TypeError("its counters are no mapping")
            return {name: file.get_tensor(name) for name in file.keys()}, counters  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, OverflowError, TypeError, ValueError) as error:
        said = shortened(str(error), 300)
        raise InputError(
            f"the checkpoint {path} cannot be read ({said}). Delete it to start that arm again."
        ) from error
