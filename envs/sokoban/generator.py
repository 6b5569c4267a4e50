"""Levels of Sokoban from a seed, with a stated number of pushes.

Walls are strewn at random, targets are put on the floor, and the level is played backwards from its end: boxes are
pulled off the targets in all ways, layer by layer, so that the layer of a position is the least number of pushes that
solve it. One position of the wanted layer becomes the level. Where a layer has too many positions, a random part of it
is followed; what comes out then is solved to learn its least number of pushes. So a stated number is always the least.

A level belongs to one split, by a checksum of its walls and targets: what is trained on is never evaluated on.
"""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from envs.config_schema import check_values, key
from envs.drawing import split_of_tenth
from envs.errors import InputError, shortened
from envs.sokoban.board import Level, reachable, shifted, squares_of
from envs.sokoban.solver import UnsolvedError, solve

SPLITS = ("train", "valid", "test")

_ATTEMPTS = 4000
_PATIENCE = 50_000
_WIDEST_LAYER = 4000
_MOST_SOLVED = 20_000

Position = tuple[int, int]
"""The boxes, and the squares that the player can walk to."""


@dataclass(frozen=True)
class Difficulty:
    """Options of generated levels."""

    boxes: int = key(1, "generated levels: boxes, and targets", unit="boxes", minimum=1, maximum=10)
    width: int = key(6, "generated levels: squares in a row, outer walls included", minimum=4, maximum=30)
    height: int = key(6, "generated levels: rows, outer walls included", minimum=4, maximum=30)
    walls: float = key(
        0.2, "generated levels: share of the inner squares that are walls, to two decimals", minimum=0, maximum=0.7
    )
    min_pushes: int = key(1, "generated levels: least number of pushes that solve one", unit="pushes", minimum=1)
    max_pushes: int = key(5, "generated levels: most of those pushes", unit="pushes", minimum=1)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: a value is not allowed.
        """
        check_values(self)
        object.__setattr__(self, "walls", round(float(self.walls), 2))
        if self.min_pushes > self.max_pushes:
            raise InputError(
                f"min_pushes={self.min_pushes} is more than max_pushes={self.max_pushes}. Give min_pushes of at most"
                " max_pushes."
            )
        room = (self.width - 2) * (self.height - 2) - round(self.walls * (self.width - 2) * (self.height - 2))
        if room < 2 * self.boxes + 1:
            raise InputError(
                f"{self.boxes} boxes, their targets and a player need {2 * self.boxes + 1} free squares, and a level"
                f" of {self.width}x{self.height} with walls={self.walls:g} has {room}. Give fewer boxes, fewer walls or"
                " more room."
            )

    @property
    def label(self) -> str:
        """Writes the options as names of tasks state them, such as "6x6,boxes=1,walls=0.2,pushes=1-5"."""
        pushes = f"{self.min_pushes}-{self.max_pushes}"
        return f"{self.width}x{self.height},boxes={self.boxes},walls={self.walls:g},pushes={pushes}"


_LABEL = re.compile(r"(\d{1,2})x(\d{1,2}),boxes=(\d{1,2}),walls=(0(?:\.\d{1,2})?),pushes=(\d{1,4})-(\d{1,4})")


def read_label(label: str) -> Difficulty:
    """Reads what `Difficulty.label` writes.

    Raises:
        InputError: it is not of that form.
    """
    found = _LABEL.fullmatch(label)
    if found is None:
        example = Difficulty().label
        raise InputError(f"{shortened(label)!r} does not say how a level was made. It should look like {example!r}.")
    width, height, boxes, walls, least, most = found.groups()
    difficulty = Difficulty(int(boxes), int(width), int(height), float(walls), int(least), int(most))
    if difficulty.label != label:
        raise InputError(f"the options {shortened(label)!r} of a generated level are written {difficulty.label!r}.")
    return difficulty


class Generated(NamedTuple):
    """A generated level, and the least number of pushes that solve it."""

    level: Level
    pushes: int


@lru_cache(maxsize=1024)
def generate(difficulty: Difficulty, split: str, number: int) -> Generated:
    """Makes a level, a pure function of its arguments.

    Args:
        difficulty: its options.
        split: one of `SPLITS`.
        number: which level.

    Returns:
        The level.

    Raises:
        InputError: no such level was found: the options ask for what hardly exists.
    """
    task = f"sokoban/{split}/{difficulty.label}/{number}"
    wanted = random.Random(task).randint(difficulty.min_pushes, difficulty.max_pushes)
    looked_at = 0
    for attempt in range(_ATTEMPTS):
        draw = random.Random(f"{task}/{attempt}")
        layout = _layout(difficulty, draw)
        if layout is None or split_of(layout) != split:
            continue
        # Few layouts have positions of many pushes. One number is asked for at length, so that all come about as often;
        # after that the most that a layout has will do.
        patient = attempt < _ATTEMPTS // 2 and looked_at < _PATIENCE
        layers, whole = _played_backwards(layout, wanted if patient else difficulty.max_pushes, draw)
        looked_at += sum(map(len, layers))
        pushes = len(layers) - 1
        if pushes >= (wanted if patient else difficulty.min_pushes):
            boxes, region = draw.choice(layers[-1])
            level = replace(layout, boxes=boxes, player=draw.choice(list(squares_of(region))))
            found = Generated(level, pushes) if whole else _solved(level, difficulty)
            if found is not None:
                return found
    raise InputError(
        f"no level {difficulty.label} of split {split} was found in {_ATTEMPTS} tries. Allow fewer pushes"
        " (min_pushes=), or give more room (width=, height=) or another share of walls (walls=)."
    )


def split_of(level: Level) -> str:
    """Returns the split that a level belongs to: eight in ten are for training."""
    text = f"{level.width}x{level.height} {level.walls:x} {level.targets:x}"
    return split_of_tenth(zlib.crc32(text.encode()) % 10)


def _layout(difficulty: Difficulty, draw: random.Random) -> Level | None:
    """Strews walls and targets; the boxes stand on the targets. None if the walls leave too little room."""
    width, height = difficulty.width, difficulty.height
    inner = [row * width + column for row in range(1, height - 1) for column in range(1, width - 1)]
    strewn = set(draw.sample(inner, round(difficulty.walls * len(inner))))
    floor = max(_parts(sum(1 << square for square in inner if square not in strewn), width), key=int.bit_count)
    if floor.bit_count() < 2 * difficulty.boxes + 1:
        return None
    targets = sum(1 << square for square in draw.sample(list(squares_of(floor)), difficulty.boxes))
    walls = (1 << width * height) - 1 & ~floor
    return Level(width, height, walls, floor, targets, targets, 0)


def _parts(free: int, width: int) -> list[int]:
    """Returns the connected parts of a set of squares."""
    parts = []
    while free:
        parts.append(reachable(free, free & -free, width))
        free ^= parts[-1]
    return parts


def _played_backwards(layout: Level, most: int, draw: random.Random) -> tuple[list[list[Position]], bool]:
    """Pulls the boxes off the targets.

    Returns:
        The positions by the least number of pushes that solve them, up to `most` pushes, and whether these are all;
        else the numbers may be too large.
    """
    layers = [[(layout.targets, part) for part in _parts(layout.floor & ~layout.targets, layout.width)]]
    seen = set(layers[0])
    whole = True
    while len(layers) <= most:
        layer = [position for position in dict.fromkeys(_pulled(layout, layers[-1])) if position not in seen]
        if not layer:
            break
        if len(layer) > _WIDEST_LAYER:
            layer, whole = draw.sample(layer, _WIDEST_LAYER), False
        seen.update(layer)
        layers.append(layer)
    return layers, whole


def _pulled(layout: Level, layer: list[Position]) -> list[Position]:
    """Lists the positions from which one push leads into a layer."""
    before = []
    for boxes, region in layer:
        free = layout.floor & ~boxes
        for delta in layout.deltas.values():
            # The player stands beside the box, steps back and takes the box along.
            for box in squares_of(boxes & shifted(region, -delta) & shifted(free, -2 * delta)):
                pulled = boxes ^ (1 << box | 1 << box + delta)
                stands = 1 << box + 2 * delta
                before.append((pulled, reachable(layout.floor & ~pulled, stands, layout.width)))
    return before


def _solved(level: Level, difficulty: Difficulty) -> Generated | None:
    try:
        pushes = len(solve(level, level.boxes, level.player, _MOST_SOLVED))
    except UnsolvedError:
        return None
    return Generated(level, pushes) if difficulty.min_pushes <= pushes <= difficulty.max_pushes else None
