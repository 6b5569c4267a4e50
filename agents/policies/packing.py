"""How the tokens of many rows are packed into one forward pass.

The new tokens of each row, its *chunk*, stand one after another in a batch of one. The plan says for each token which
row it belongs to and at which position, and which rows attend together.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

# Multiples of 8 keep masks aligned for vector instructions and for the fused kernels.
_ALIGNMENT = 8


class Bucket(NamedTuple):
    """Rows of about equal chunk length, whose attention is computed together.

    Attributes:
        tokens: the packed tokens of these rows, first and past last.
        rows: R, number of rows.
        width: W, longest chunk among them.
        slots: the cache slots of the rows, as a range or as ids (R,).
        length: K, number of key positions that any of them can see.
        mask: (R, 1, W * heads a key head, K) zero where visible, else minus infinity. For W = 1: (R, 1, 1, K).
        spread: (R * W,) packed token for each place of the padded chunk; None if no chunk is padded.
        gather: (tokens,) place in the padded chunk of each packed token; None if no chunk is padded.
    """

    tokens: slice
    rows: int
    width: int
    slots: slice | torch.Tensor
    length: int
    mask: torch.Tensor
    spread: torch.Tensor | None
    gather: torch.Tensor | None


class Plan(NamedTuple):
    """Where the packed tokens of one forward pass belong.

    Attributes:
        positions: (1, N) position of each token in its row.
        slots: (N,) cache slot of each token's row.
        last: (R,) packed index of each row's last token, in the order in which the rows are packed.
        buckets: the rows in groups; together they cover all tokens in order.
    """

    positions: torch.Tensor
    slots: torch.Tensor
    last: torch.Tensor
    buckets: tuple[Bucket, ...]


def plan_chunks(
    slots: NDArray[np.int64], starts: NDArray[np.int64], widths: NDArray[np.int64], groups: int, like: torch.Tensor
) -> Plan:
    """Plans one forward pass.

    Args:
        slots: (R,) cache slot of each row.
        starts: (R,) tokens of each row that are in the cache already.
        widths: (R,) new tokens of each row, at least 1, in ascending order.
        groups: number of query heads that share a key head.
        like: any tensor of the model's dtype and device.

    Returns:
        The plan, for tokens packed row after row in the given order.
    """
    offsets = np.concatenate(([0], np.cumsum(widths)))
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], widths)
    positions = np.repeat(starts, widths) + within
    # Rows whose widths have the same number of binary digits share a bucket: less than half of any chunk is padding.
    classes = np.ceil(np.log2(widths)).astype(np.int64)
    borders = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(widths)]
    buckets = tuple(
        _bucket(slots[a:b], starts[a:b], widths[a:b], int(offsets[a]), groups, like)
        for a, b in itertools.pairwise(borders)
    )
    device = like.device
    return Plan(
        positions=torch.from_numpy(positions[None]).to(device),
        slots=torch.from_numpy(np.repeat(slots, widths)).to(device),
        last=torch.from_numpy(offsets[1:] - 1).to(device),
        buckets=buckets,
    )


def _bucket(
    slots: NDArray[np.int64],
    starts: NDArray[np.int64],
    widths: NDArray[np.int64],
    offset: int,
    groups: int,
    like: torch.Tensor,
) -> Bucket:
    rows, width, total = len(slots), int(widths.max()), int(widths.sum())
    longest = int((starts + widths).max())
    length = -(-longest // _ALIGNMENT) * _ALIGNMENT
    ahead = np.arange(width)
    seen = torch.from_numpy(starts[:, None] + ahead).to(like.device)
    hidden = torch.arange(length, device=like.device) > seen[:, None, :, None]
    visible = torch.zeros((), dtype=like.dtype, device=like.device)
    mask = torch.where(hidden, visible - float("inf"), visible)
    if width > 1 and groups > 1:
        mask = mask.repeat_interleave(groups, dim=2)
    spread = gather = None
    if total != rows * width:
        firsts = np.cumsum(widths) - widths
        padded = firsts[:, None] + np.minimum(ahead, widths[:, None] - 1)
        spread = torch.from_numpy(padded.reshape(-1)).to(like.device)
        gather = torch.from_numpy(np.flatnonzero((ahead < widths[:, None]).reshape(-1))).to(like.device)
    contiguous = bool((np.diff(slots) == 1).all())
    where: slice | torch.Tensor = slice(int(slots[0]), int(slots[0]) + rows)
    if not contiguous:
        where = torch.from_numpy(slots).to(like.device)
    return Bucket(slice(offset, offset + total), rows, width, where, length, mask, spread, gather)
