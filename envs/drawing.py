"""How worlds draw tasks: by seed and split, without repetition until all have come; and what a reset may be asked for.

Results and panels name what was drawn, so nothing here may draw otherwise one day (`tests/envs/draws.json`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError, unknown
from envs.types import TextEnv

_MOST_SEEDS = 2**31


def check_draw(seed: int, num_tasks: int) -> None:
    """Refuses what no tasks can be drawn by.

    Raises:
        InputError: the seed or the number is negative.
    """
    if seed < 0 or num_tasks < 0:
        raise InputError(f"cannot draw {num_tasks} tasks with the seed {seed}: both should be 0 or more.")


def key_of(seed: int, split: str) -> list[int]:
    """The key of a split's draws."""
    return [seed, zlib.crc32(split.encode())]


def first_number(seed: int, split: str, most: int) -> int:
    """Draws the first of a row of numbers, from 0 to below `most`, for worlds whose tasks are made from numbers."""
    return int(np.random.default_rng(key_of(seed, split)).integers(most))


def order(key: Sequence[int], number: int, size: int) -> NDArray[np.int64]:
    """Returns the positions of `size` things in the order of one pass over them: (size,)."""
    return np.random.default_rng([*key, number]).permutation(size)


def passes(key: Sequence[int], size: int) -> Iterator[int]:
    """Yields the positions of `size` things in random order, pass after pass without end."""
    for number in count():
        yield from map(int, order(key, number, size))


def split_of_tenth(tenth: int) -> str:
    """The split of what a checksum has put into one of ten parts: eight for training, one each for valid and test."""
    return {0: "valid", 1: "test"}.get(tenth, "train")


def check_reset(options: Iterable[str], allowed: tuple[str, ...] = ("task",)) -> None:
    """Refuses options of a reset that a world does not have.

    Raises:
        InputError: there is one.
    """
    for option in options:
        if option not in allowed:
            raise unknown("reset option", option, allowed)


def seed_of(env: TextEnv, seed: int | None) -> int:
    """The seed of an episode: the one given, else one drawn from those that came before."""
    return seed if seed is not None else int(env.np_random.integers(_MOST_SEEDS))
