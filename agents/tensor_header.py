"""The header of a safetensors file: what the file holds, read without its tensors and without PyTorch.

Left out: whether the tensors' types and places fit each other, which the safetensors library checks when it loads them.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, NamedTuple

from envs.errors import InputError, shortened
from envs.files import parse_json, understood

MOST_BYTES = 1 << 24
"""The largest header that is read: some 100,000 tensors."""
_LENGTH_BYTES = 8


class TensorHeader(NamedTuple):
    """What a header says.

    Attributes:
        metadata: texts by name.
        elements: number of values in all tensors.
        tensor_bytes: bytes of all tensors.
    """

    metadata: dict[str, str]
    elements: int
    tensor_bytes: int


def read(path: Path) -> TensorHeader:
    """Reads the header of a safetensors file.

    Raises:
        InputError: the file cannot be read, or is none.
    """
    try:
        text, room = _text(path)
        with understood("its header", "that of a safetensors file"):
            content = parse_json(text, "its header")
            metadata = content.pop("__metadata__", {})
            if not all(isinstance(value, str) for value in metadata.values()):
                raise TypeError("its metadata are no texts")
            tensors = list(content.values())
            ends = [_end(tensor, room) for tensor in tensors]
            return TensorHeader(metadata, sum(_elements(tensor, room) for tensor in tensors), max(ends, default=0))
    except InputError as error:
        raise InputError(f"{path} is not a safetensors file ({shortened(str(error), 300)}).") from None


def _text(path: Path) -> tuple[str, int]:
    """The header's text, and how many bytes follow it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("not an ordinary file")
        with path.open("rb") as file:
            start = file.read(_LENGTH_BYTES)
            length = int.from_bytes(start, "little")
            room = path.stat().st_size - _LENGTH_BYTES - length
            if len(start) < _LENGTH_BYTES or room < 0:
                raise InputError("its header is cut off")
            if length > MOST_BYTES:
                raise InputError(f"its header has more than {MOST_BYTES:,} bytes")
            return file.read(length).decode("utf-8"), room
    except OSError as error:
        raise InputError(error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise InputError("its header is not UTF-8 text") from None


def _elements(tensor: dict[str, Any], room: int) -> int:
    """Number of a tensor's values; the smallest types have several to a byte."""
    shape = tensor["shape"]
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("a tensor's shape is none")
    if 0 in shape:
        return 0
    total = 1
    for length in shape:
        total *= length
        if total > 8 * room:
            raise ValueError("a tensor is larger than the file")
    return total


def _end(tensor: dict[str, Any], room: int) -> int:
    start, end = tensor["data_offsets"]
    if not (type(start) is int and type(end) is int and 0 <= start <= end <= room):
        raise ValueError("a tensor's place is not in the file")
    return end
