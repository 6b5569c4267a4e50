"""Verifiers: was a problem solved?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier found.

    Attributes:
        score: from 0 (wrong) to 1 (right).
        passed: whether it is right.
        reason: why, in a few words.
    """

    score: float
    passed: bool
    reason: str
