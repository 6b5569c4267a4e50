"""From episodes to rows of tokens: what the loss is computed on.

With full context an episode is one growing sequence, so one row holds all its turns and each token is computed once.
The row is put together from the ids that were read and sampled; nothing is encoded again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.types import Episode


class Row(NamedTuple):
    """One sequence of T tokens.

    Attributes:
        tokens: (T,) ids.
        sampled: (T,) True where the policy sampled the token, its end-of-reply included.
        turn: (T,) index of the turn that the token belongs to; a prompt belongs to the turn it leads up to.
        logprobs: (T,) log-probability of each sampled token when it was sampled; zero elsewhere.
    """

    tokens: NDArray[np.int64]
    sampled: NDArray[np.bool_]
    turn: NDArray[np.int64]
    logprobs: NDArray[np.float32]


def row(episode: Episode) -> Row:
    """Puts an episode's turns in one row.

    Args:
        episode: any episode; one without turns, or of a policy that samples no tokens, gives an empty row.

    Returns:
        The row of T = sum of prompt and sampled tokens.
    """
    tokens: list[int] = []
    sampled: list[bool] = []
    turns: list[int] = []
    logprobs: list[float] = []
    for index, turn in enumerate(episode.turns):
        given, said = len(turn.prompt_tokens), len(turn.tokens)
        tokens += [*turn.prompt_tokens, *turn.tokens]
        sampled += [False] * given + [True] * said
        turns += [index] * (given + said)
        logprobs += [0.0] * given + list(turn.logprobs)
    return Row(
        tokens=np.array(tokens, dtype=np.int64),
        sampled=np.array(sampled, dtype=np.bool_),
        turn=np.array(turns, dtype=np.int64),
        logprobs=np.array(logprobs, dtype=np.float32),
    )
