"""Boards of Sokoban: squares as bits of whole numbers, the usual text symbols, and where the player can walk.

A square is a number, row * width + column, and a set of squares is a whole number with those bits, so that a set moves
by one square in a single shift. The squares that the player could reach without boxes are enclosed by walls; therefore
nothing that stays on them ever runs over the edge of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOVES = ("up", "down", "left", "right")
SYMBOLS = "#@+$*. _-"
"""Wall, player, player on target, box, box on target, target, floor (three ways of writing it)."""

_MOST_SQUARES = 10_000


class LevelError(ValueError):
    """The rows of a level do not make a level; the message says why."""


@dataclass(frozen=True)
class Level:
    """A level at its start. Sets of squares are bits of whole numbers.

    Attributes:
        width: squares in a row.
        height: rows.
        walls: squares with a wall.
        floor: squares that the player could reach if there were no boxes.
        targets: squares that boxes belong on.
        boxes: squares with a box, as many as targets.
        player: the player's square.
    """

    width: int
    height: int
    walls: int
    floor: int
    targets: int
    boxes: int
    player: int

    @property
    def deltas(self) -> dict[str, int]:
        """Returns by how much a square's number changes with each move."""
        return {"up": -self.width, "down": self.width, "left": -1, "right": 1}


def read_level(rows: Sequence[str]) -> Level:
    """Reads a level.

    Args:
        rows: its rows in the symbols of `SYMBOLS`; shorter rows end in floor.

    Returns:
        The level.

    Raises:
        LevelError: it has an unknown symbol, not exactly one player, no boxes or not as many as targets, a hole in its
            outer wall, a box or target out of reach, or nothing left to do.
    """
    width, height = max(map(len, rows)), len(rows)
    if width * height > _MOST_SQUARES:
        raise LevelError(f"it has {width * height:,} squares, more than {_MOST_SQUARES:,}")
    found = dict.fromkeys(SYMBOLS, 0)
    for row, text in enumerate(rows):
        for column, symbol in enumerate(text):
            if symbol not in found:
                raise LevelError(f"row {row + 1} has the unknown symbol {symbol!r}; known are {SYMBOLS!r}")
            found[symbol] |= 1 << (row * width + column)
    players, boxes = found["@"] | found["+"], found["$"] | found["*"]
    targets = found["."] | found["+"] | found["*"]
    if players.bit_count() != 1:
        raise LevelError(f"it has {players.bit_count()} players (@ or +) instead of one")
    if not boxes or boxes.bit_count() != targets.bit_count():
        raise LevelError(f"it has {boxes.bit_count()} boxes and {targets.bit_count()} targets; both should be as many")
    floor = _enclosed(found["#"], width, height, players)
    level = Level(width, height, found["#"], floor, targets, boxes, players.bit_length() - 1)
    _check_playable(level)
    return level


def _enclosed(walls: int, width: int, height: int, players: int) -> int:
    everything = (1 << width * height) - 1
    row = (1 << width) - 1
    column = everything // row
    edge = row | row << width * (height - 1) | column | column << width - 1
    reached, before = players, 0
    while reached != before and not reached & edge:
        before = reached
        reached |= reached << 1 | reached >> 1 | reached << width | reached >> width
        reached &= everything & ~walls
    if reached & edge:
        raise LevelError("its outer wall is open")
    return reached


def _check_playable(level: Level) -> None:
    # A box out of reach that stands on a target is decoration, which some collections have.
    if (level.boxes ^ level.targets) & ~level.floor:
        raise LevelError("a box or a target is out of the player's reach")
    if level.boxes == level.targets:
        raise LevelError("all its boxes are on targets already")
    around = (level.floor & ~level.boxes) | _pushable(level)
    if not any(shifted(1 << level.player, delta) & around for delta in level.deltas.values()):
        raise LevelError("the player cannot move")


def _pushable(level: Level) -> int:
    """Returns the boxes beside the player that it can push."""
    free = level.floor & ~level.boxes
    beside = [(shifted(1 << level.player, delta), delta) for delta in level.deltas.values()]
    return sum(square for square, delta in beside if square & level.boxes and shifted(square, delta) & free)


def shifted(squares: int, delta: int) -> int:
    """Moves a set of squares by a number of squares."""
    return squares << delta if delta > 0 else squares >> -delta


def reachable(free: int, start: int, width: int) -> int:
    """Returns the squares that can be walked to.

    Args:
        free: squares that can be walked on, none of them on the edge of the board.
        start: the squares to start from.
        width: of the board.
    """
    reached, before = start & free, 0
    while reached != before:
        before = reached
        reached |= (reached << 1 | reached >> 1 | reached << width | reached >> width) & free
    return reached


def squares_of(squares: int) -> Iterator[int]:
    """Yields the numbers of a set of squares, smallest first."""
    while squares:
        lowest = squares & -squares
        yield lowest.bit_length() - 1
        squares ^= lowest


def moved(level: Level, boxes: int, player: int, move: str) -> tuple[int, int, str]:
    """Plays one move.

    Args:
        level: the level.
        boxes: squares with a box.
        player: the player's square.
        move: any text; those of `MOVES` do something where they can.

    Returns:
        The boxes and the player after it, and what came of it in words.
    """
    if move not in MOVES:
        return boxes, player, "Nothing happens. Your moves are up, down, left and right."
    delta = level.deltas[move]
    ahead = 1 << player + delta
    behind = shifted(ahead, delta)
    if not ahead & boxes:
        if ahead & level.floor:
            return boxes, player + delta, f"You move {move}."
        return boxes, player, f"You cannot move {move}: there is a wall."
    if behind & boxes:
        return boxes, player, f"You cannot push the box {move}: there is a box behind it."
    if not behind & level.floor:
        return boxes, player, f"You cannot push the box {move}: there is a wall behind it."
    onto = " onto a target" if behind & level.targets else " off its target" if ahead & level.targets else ""
    return boxes ^ ahead ^ behind, player + delta, f"You push a box {move}{onto}."


def drawn(level: Level, boxes: int, player: int, floor: str = " ") -> list[str]:
    """Draws a position.

    Args:
        level: its walls and targets.
        boxes: squares with a box.
        player: the player's square.
        floor: the symbol of floor.

    Returns:
        The rows.
    """
    symbols = []
    for square in range(level.width * level.height):
        bit = 1 << square
        if level.walls & bit:
            symbols.append("#")
        elif boxes & bit:
            symbols.append("*" if level.targets & bit else "$")
        elif square == player:
            symbols.append("+" if level.targets & bit else "@")
        else:
            symbols.append("." if level.targets & bit else floor)
    text = "".join(symbols)
    return [text[start : start + level.width] for start in range(0, len(text), level.width)]
