"""Verifiers: is an answer right? Each is a module with a function `verify` that returns a `Verdict`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier found.

    Attributes:
        score: from 0.0 to 1.0.
        passed: whether the answer is right.
        reason: why, in one line.
    """

    score: float
    passed: bool
    reason: str
