"""The errors a user can cause, each one clear line: what was given, what is allowed, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MEMORY = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory")


class KeystoneError(Exception):
    """Root of every error that Keystone raises on purpose."""


class InputError(KeystoneError, ValueError):
    """The user gave something that cannot be used. Commands print its one line and exit with code 2."""


class MissingExtraError(InputError, ImportError):
    """An optional dependency is needed and absent. The message carries its install line."""


class StorageError(KeystoneError):
    """A file cannot be written (a full disk, a read-only folder), or data is gone. What was written before is whole."""


class ExhaustedError(KeystoneError):
    """The machine has too little left of something to go on. What was written before is whole."""


def shortened(text: str, most: int = 100) -> str:
    """Cuts a text that may be of any length, so that a message stays one readable line."""
    return text if len(text) <= most else f"{text[:most]}..."


def first_line(error: BaseException) -> str:
    """The first line that an error says, with the next one behind a colon; its kind if it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory, of the machine or of a device."""
    # PyTorch's allocators raise plain RuntimeErrors on the CPU.
    said = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or any(sign in said for sign in _MEMORY)


def unknown(kind: str, given: str, allowed: Iterable[str]) -> InputError:
    """Builds the error for an unknown name.

    Args:
        kind: what the name should have been, in the singular ("environment", "key").
        given: what the user typed.
        allowed: the valid names.

    Returns:
        An `InputError` naming the nearest valid name, when one is near, and all valid names.
    """
    names = sorted(allowed)
    return InputError(f"unknown {kind} {shortened(given)!r}.{nearest(given, names)} Allowed: {', '.join(names)}.")


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Asks whether the nearest valid name was meant, with a blank in front; empty when none is near."""
    close = difflib.get_close_matches(shortened(given), sorted(allowed), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
