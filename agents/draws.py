"""Keyed random draws: every number follows from what it is for, never from what was drawn before.

The stream of a turn comes from Philox, a counter-based generator (Salmon et al. 2011, "Parallel random numbers: as
easy as 1, 2, 3"), whose key is a hash of (seed, iteration, task, member, turn). Number k of the stream is for token k.
So there is no generator state to save, and a draw depends neither on the batch an episode is in nor on the process
that plays it.

A token is found by inverting the cumulative distribution at one uniform number. Adding Gumbel noise to the logits
would do the same, but wants one number for each entry of the vocabulary at each token, 150,000 in place of one.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from agents.types import EpisodeKey

# A product u * total must stay below total after rounding, so that the last token of probability zero is never drawn:
# 48 bits leave room for it in float64.
_BITS = 48


def uniforms(key: EpisodeKey, turn: int, count: int) -> NDArray[np.float64]:
    """Draws the uniform numbers of one turn.

    Args:
        key: the episode.
        turn: index of the turn, from 0.
        count: how many numbers; the first k of a longer draw equal a draw of k.

    Returns:
        (count,) numbers in [0, 1).
    """
    words = np.random.Philox(key=_digest(*key, turn)).random_raw(count)
    return (words >> np.uint64(64 - _BITS)).astype(np.float64) * 2.0**-_BITS


def turn_seed(key: EpisodeKey, turn: int) -> int:
    """The seed of a sampler that draws a whole turn by a generator of its own, an integer in [0, 2**63)."""
    return int(_digest(*key, turn)[1] >> np.uint64(1))


def player_seed(key: EpisodeKey) -> int:
    """The seed of a scripted player of this episode, an integer in [0, 2**63)."""
    return int(_digest(*key)[0] >> np.uint64(1))


def stream_seed(seed: int, purpose: str) -> int:
    """An independent seed, 63 bits, for one purpose of a run, such as "training", "panel" or "demonstrations"."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _digest(*parts: str | int) -> NDArray[np.uint64]:
    text = json.dumps(parts, ensure_ascii=True)
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8")
