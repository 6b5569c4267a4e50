"""How a program under test and its tests talk: values as plain data, everything else by a number.

The two live in processes of their own. What goes over is JSON in frames of a length and that many bytes. Numbers,
texts and None are themselves, containers are lists that begin with their kind: ["list", ...], ["dict", [key, value],
...]. A value that is not plain data stays where it is and goes over as ["theirs", number]; a value of the receiver's
own comes back to it as ["yours", number].

Only exact built-in kinds are ever built on the receiving side, so a value that arrives compares and prints as
Python's own do, whatever the sender has patched. Values of subclasses (named tuples, counters, enumerations) arrive
as their built-in kind. Runs inside the sandbox, with the standard library only.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import fractions
import json
import os
import struct
from collections.abc import Callable, Iterable
from typing import Any

_HEADER = struct.Struct(">I")
_LARGEST = 1 << 24
_PLAIN_INT = 1 << 53
_SEQUENCES: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
}
_TEXTS: dict[str, Any] = {
    "decimal": decimal.Decimal,
    "fraction": fractions.Fraction,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
}
_TYPES = ("bool", "int", "float", "complex", "str", "bytes", "list", "tuple", "set", "frozenset", "dict", "object")
_DEPTH = 100


class LinkError(Exception):
    """The other side is gone, or what it says makes no sense."""


class Link:
    """One end of the conversation."""

    def __init__(self, descriptor: int) -> None:
        """Takes the file descriptor of a connected socket."""
        self._descriptor = descriptor

    def send(self, message: Any) -> None:  # noqa: ANN401 - whatever JSON takes
        """Sends a message.

        Raises:
            LinkError: the other side is gone, or the message is too large.
        """
        data = json.dumps(message).encode()
        if len(data) > _LARGEST:
            raise LinkError("a value is too large to be handed over")
        left = memoryview(_HEADER.pack(len(data)) + data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            raise LinkError("the program ended without an answer") from None

    def receive(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Receives a message.

        Raises:
            LinkError: the other side is gone, or what came is no message.
        """
        (length,) = _HEADER.unpack(self._read(_HEADER.size))
        if length > _LARGEST:
            raise LinkError("a value is too large to be taken")
        try:
            return json.loads(self._read(length))
        except (ValueError, RecursionError):
            raise LinkError("what came makes no sense") from None

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                received = os.read(self._descriptor, count - len(data))
            except OSError:
                received = b""
            if not received:
                raise LinkError("the program ended without an answer")
            data += received
        return bytes(data)


def encode(value: Any, keep: Callable[[Any], list[Any]], depth: int = 0) -> Any:  # noqa: ANN401
    """Writes a value as JSON can hold it.

    Args:
        value: any value.
        keep: called for what is not plain data; returns what stands for it.
        depth: containers around it.
    """
    if value is None or value is True or value is False:
        return value
    if depth > _DEPTH:
        return keep(value)
    if isinstance(value, int):
        number = int(value)
        return number if -_PLAIN_INT < number < _PLAIN_INT else ["int", hex(number)]
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    return _encode_container(value, keep, depth + 1)


def _encode_container(value: Any, keep: Callable[[Any], list[Any]], depth: int) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        pairs = [[encode(key, keep, depth), encode(item, keep, depth)] for key, item in dict.items(value)]
        return ["dict", *pairs]
    for kind, builtin in _SEQUENCES.items():
        if isinstance(value, builtin):
            items: Iterable[Any] = builtin.__iter__(value)
            return [kind, *(encode(item, keep, depth) for item in items)]
    # The keys of a dictionary are equal to a set.
    if type(value) is type({}.keys()):
        return encode(set(value), keep, depth)
    if isinstance(value, (bytes, bytearray)):
        return ["bytes" if isinstance(value, bytes) else "bytearray", bytes(value).hex()]
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, range):
        return ["range", value.start, value.stop, value.step]
    return _encode_other(value, keep)


def _encode_other(value: Any, keep: Callable[[Any], list[Any]]) -> list[Any]:  # noqa: ANN401
    for name in _TYPES:
        if value is getattr(builtins, name):
            return ["type", name]
    if isinstance(value, datetime.timedelta):
        return ["timedelta", value.days, value.seconds, value.microseconds]
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return [type(value).__name__, value.isoformat()] if type(value).__name__ in _TEXTS else keep(value)
    if isinstance(value, (decimal.Decimal, fractions.Fraction)):
        return ["decimal" if isinstance(value, decimal.Decimal) else "fraction", str(value)]
    return keep(value)


def decode(data: Any, find: Callable[[str, int], Any]) -> Any:  # noqa: ANN401
    """Builds a value from what `encode` wrote.

    Args:
        data: what came over.
        find: called with "theirs" or "yours" and a number for what is not plain data.

    Raises:
        LinkError: this is nothing that `encode` writes.
    """
    try:
        return _decode(data, find)
    except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError):
        raise LinkError("what came makes no sense") from None


def _decode(data: Any, find: Callable[[str, int], Any]) -> Any:  # noqa: ANN401
    if not isinstance(data, list):
        if isinstance(data, dict):
            raise LinkError("what came makes no sense")
        return data
    kind, *rest = data
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](_decode(item, find) for item in rest)
    if kind == "dict":
        return {_decode(key, find): _decode(item, find) for key, item in rest}
    if kind in ("theirs", "yours"):
        return find(kind, int(rest[0]))
    if kind == "int":
        return int(rest[0], 16)
    if kind in _TEXTS:
        return _TEXTS[kind](rest[0])
    if kind in ("bytes", "bytearray"):
        return getattr(builtins, kind).fromhex(rest[0])
    if kind == "type":
        return getattr(builtins, _TYPES[_TYPES.index(rest[0])])
    builders: dict[str, Any] = {"complex": complex, "range": range, "timedelta": datetime.timedelta}
    return builders[kind](*rest)
