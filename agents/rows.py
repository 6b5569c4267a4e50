"""From episodes to rows of tokens: what the loss is computed on.

With full context an episode is one growing sequence, so one row holds all its turns and each token is computed once;
with a window every turn is a row. A row is put together from the ids that were read and sampled; nothing is encoded
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.types import Episode, Turn


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


def rows(episode: Episode) -> list[Row]:
    """Puts an episode's turns in rows: one for all of them, or one for each prompt that begins a sequence of its own.

    Args:
        episode: any episode; one without turns, or of a policy that samples no tokens, gives one empty row.

    Returns:
        The rows; together they hold every sampled token once.
    """
    starts = [index for index, turn in enumerate(episode.turns) if turn.fresh and index]
    bounds = [0, *starts, len(episode.turns)]
    return [_row(episode.turns[first:last], first) for first, last in pairwise(bounds)]


def _row(given_turns: Sequence[Turn], first: int) -> Row:
    tokens: list[int] = []
    sampled: list[bool] = []
    turns: list[int] = []
    logprobs: list[float] = []
    for index, turn in enumerate(given_turns, first):
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
