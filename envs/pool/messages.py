"""What a pool and its workers say to each other: pickled tuples, each behind its length, over a socket pair.

Pickle, because a world's info may hold any plain Python value and comes back as it was (JSON would turn tuples into
lists), and because nothing from outside is read: both ends run the same code under the same interpreter, and a world
has no less power over a worker's process than it would have over this one. Errors travel as text, since exceptions of
foreign classes often cannot be unpickled.
"""

from __future__ import annotations

import pickle
import struct
from enum import StrEnum
from typing import Any, NamedTuple

LENGTH = struct.Struct("!Q")
MOST_BYTES = 1 << 30
"""No message is longer. What claims to be is no message."""


class Kind(StrEnum):
    """What a worker is asked for."""

    RESET = "reset"  # content: module:Class, options, seed, reset options
    ACT = "act"  # content: player, seed
    STEP = "step"  # content: command


class Outcome(StrEnum):
    """How a worker answers."""

    READY = "ready"  # the process has started
    SAID = "said"  # value: what the world or the player said
    RAISED = "raised"  # value: the exception as text
    REFUSED = "refused"  # value: the message of an InputError


class Request(NamedTuple):
    """What one world of a worker is asked for.

    Attributes:
        kind: what for.
        content: see `Kind`.
    """

    kind: Kind
    content: tuple[Any, ...]


class Reply(NamedTuple):
    """A worker's answer.

    Attributes:
        outcome: how it went.
        value: see `Outcome`.
    """

    outcome: Outcome
    value: Any = None


def encode(message: Any) -> bytes:  # noqa: ANN401 - requests and replies
    """Turns a message into bytes.

    Raises:
        Exception: something in it cannot be pickled, whatever its class raises then.
    """
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    if len(content) > MOST_BYTES:
        raise ValueError(f"a message of {len(content):,} bytes is more than a worker may say")
    return LENGTH.pack(len(content)) + content


def split(received: bytearray) -> list[bytes]:
    """Takes whole messages, still pickled, from the front of what was received.

    Raises:
        ValueError: it begins with something that is no message.
    """
    found: list[bytes] = []
    while len(received) >= LENGTH.size:
        (length,) = LENGTH.unpack_from(received)
        if length > MOST_BYTES:
            raise ValueError("what was received is no message")
        end = LENGTH.size + length
        if len(received) < end:
            break
        found.append(bytes(received[LENGTH.size : end]))
        del received[:end]
    return found
