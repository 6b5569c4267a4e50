"""Checksums of tensors that two processes compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.deltas import fingerprint

if TYPE_CHECKING:
    import torch


def digest(tensor: torch.Tensor) -> str:
    """SHA-256 over dtype, shape and values.

    Minus zero counts as zero: where an engine has packed its weights they are read back through a matrix product with
    the identity, which keeps every finite value but that sign.
    """
    return fingerprint({"": tensor.detach() + 0.0})


def size(tensor: torch.Tensor) -> int:
    """Bytes of a tensor."""
    return tensor.numel() * tensor.element_size()
