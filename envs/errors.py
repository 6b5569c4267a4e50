"""The errors a user can cause, each one clear line: what was given, what is allowed, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
