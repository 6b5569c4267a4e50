"""Solutions of Sokoban with as few pushes as possible: A* over positions (Hart, Nilsson, Raphael, 1968).

A position is where the boxes are and which squares the player can walk to. Its estimate is the cheapest way to give
every box a target of its own, by the number of pushes that each would need if no other box were there (an assignment
problem, solved by SciPy); no solution needs fewer. Positions that cannot be solved are dropped where that is seen: a
box on a square from which no target can be reached, boxes that hold each other in place off their targets, and boxes
that want the same targets. Left out: deadlocks of boxes that only enclose a part of the board (corrals).
"""

from __future__ import annotations

import heapq
from functools import lru_cache
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from envs.errors import InputError
from envs.sokoban.board import Level, reachable, shifted, squares_of

MOST_POSITIONS = 50_000
"""Positions that `solve` looks at before it gives up."""

_FAR = 1 << 20
_DEAD = -1


class UnsolvedError(InputError):
    """A level has no solution, or none was found within the bound; the message says which."""


class Push(NamedTuple):
    """One push: the square of the box before it, and the move ("up", "down", "left", "right")."""

    box: int
    move: str


def solve(level: Level, boxes: int, player: int, most_positions: int = MOST_POSITIONS) -> tuple[Push, ...]:
    """Finds a solution with as few pushes as possible.

    Args:
        level: the level.
        boxes: squares with a box, from which on to solve.
        player: the player's square.
        most_positions: positions to look at before giving up.

    Returns:
        The pushes; none if all boxes are on targets.

    Raises:
        UnsolvedError: there is no solution, or none was found within the bound.
    """
    estimates = _Estimates(level)
    start = (boxes, reachable(level.floor & ~boxes, 1 << player, level.width))
    first = estimates.of(boxes)
    numbers = count()
    queue = [(first, first, next(numbers), start)]
    pushes_to = {start: 0}
    came_from: dict[tuple[int, int], tuple[tuple[int, int], Push]] = {}
    looked_at = 0
    while queue and first != _DEAD:
        total, ahead, _, position = heapq.heappop(queue)
        if position[0] == level.targets:
            return _traced(came_from, position)
        pushes = pushes_to[position] + 1
        if total - ahead >= pushes:
            continue  # It was reached with fewer pushes since.
        looked_at += 1
        if looked_at > most_positions:
            raise UnsolvedError(f"no solution was found among {most_positions:,} positions; the search gives up.")
        for box, move, after in _successors(level, estimates.alive, position):
            if pushes < pushes_to.get(after, _FAR):
                ahead = estimates.after_push(after[0], box + level.deltas[move])
                if ahead != _DEAD:
                    pushes_to[after] = pushes
                    came_from[after] = position, Push(box, move)
                    heapq.heappush(queue, (pushes + ahead, ahead, next(numbers), after))
    raise UnsolvedError("the level cannot be solved from here: no order of pushes brings every box onto a target.")


def walked(level: Level, boxes: int, player: int, pushes: tuple[Push, ...]) -> list[str]:
    """Turns pushes into moves, with the shortest walks in between.

    Args:
        level: the level.
        boxes: squares with a box at the start.
        player: the player's square at the start.
        pushes: what `solve` found from there.

    Returns:
        The moves.
    """
    moves: list[str] = []
    for box, move in pushes:
        delta = level.deltas[move]
        moves += _walk(level, level.floor & ~boxes, player, box - delta)
        moves.append(move)
        boxes ^= 1 << box | 1 << box + delta
        player = box
    return moves


def _walk(level: Level, free: int, start: int, end: int) -> list[str]:
    """Returns the moves of a shortest walk, found backwards from its end."""
    rings = [1 << end]
    while not rings[-1] >> start & 1:
        rings.append(_widened(free, rings[-1], level.width))
    moves = []
    for ring in reversed(rings[:-1]):
        for move, delta in level.deltas.items():
            if ring >> start + delta & 1:
                moves.append(move)
                start += delta
                break
    return moves


def _widened(free: int, squares: int, width: int) -> int:
    """Returns squares and all free ones beside them."""
    return squares | (squares << 1 | squares >> 1 | squares << width | squares >> width) & free


def _successors(level: Level, alive: int, position: tuple[int, int]) -> list[tuple[int, str, tuple[int, int]]]:
    """Lists the pushes that are possible: the box, the move and the position after it."""
    boxes, region = position
    free = alive & ~boxes
    found = []
    for move, delta in level.deltas.items():
        for box in squares_of(boxes & shifted(region, delta) & shifted(free, -delta)):
            pushed = boxes ^ (1 << box | 1 << box + delta)
            found.append((box, move, (pushed, reachable(level.floor & ~pushed, 1 << box, level.width))))
    return found


def _traced(
    came_from: dict[tuple[int, int], tuple[tuple[int, int], Push]], position: tuple[int, int]
) -> tuple[Push, ...]:
    pushes = []
    while position in came_from:
        position, push = came_from[position]
        pushes.append(push)
    return tuple(reversed(pushes))


class _Estimates:
    """How many pushes a position still needs at least, remembered by the squares of its boxes.

    Attributes:
        alive: squares from which a box can be pushed to some target if it is alone.
    """

    def __init__(self, level: Level) -> None:
        self._level = level
        self._distances = push_distances(level)
        nearest = self._distances.min(axis=0)
        self.alive = sum(1 << int(square) for square in np.flatnonzero(nearest < _FAR))
        self._known: dict[int, int] = {}

    def of(self, boxes: int) -> int:
        """Returns the least number of pushes that boxes on these squares need, or `_DEAD`."""
        costs = self._distances[:, list(squares_of(boxes))]
        total = int(costs[linear_sum_assignment(costs)].sum())
        return total if total < _FAR else _DEAD

    def after_push(self, boxes: int, pushed: int) -> int:
        """Does what `of` does, and looks at whether the box on the square `pushed` is held in place."""
        if boxes not in self._known:
            frozen = self._frozen(1 << pushed, boxes, self._level.walls)
            self._known[boxes] = _DEAD if frozen & ~self._level.targets else self.of(boxes)
        return self._known[boxes]

    def _frozen(self, box: int, boxes: int, walls: int) -> int:
        """Returns a box and those that hold it if it can never move again, else no squares.

        While its neighbours are asked, it counts as a wall itself: boxes that hold each other are all held.
        """
        held = box
        for step in (1, self._level.width):
            beside = box << step | box >> step
            if beside & walls or not beside & self.alive:
                continue
            for neighbour in (box << step, box >> step):
                holding = neighbour & boxes and self._frozen(neighbour, boxes & ~box, walls | box)
                if holding:
                    held |= holding
                    break
            else:
                return 0
        return held


@lru_cache(maxsize=64)
def push_distances(level: Level) -> NDArray[np.int64]:
    """Counts the pushes from every square to every target for a box that is alone on the board.

    Args:
        level: the level. Only its walls, floor and targets count.

    Returns:
        Pushes, with axes target and square; very many where a target cannot be reached.
    """
    targets = list(squares_of(level.targets))
    distances = np.full((len(targets), level.width * level.height), _FAR, dtype=np.int64)
    for row, target in enumerate(targets):
        pushes, ring = 0, 1 << target
        seen = ring
        while ring:
            distances[row, list(squares_of(ring))] = pushes
            # Backwards, a box is pulled: the player stands behind it and steps back.
            pulled = 0
            for delta in level.deltas.values():
                pulled |= shifted(ring, delta) & level.floor & shifted(level.floor, -delta)
            ring = pulled & ~seen
            seen |= ring
            pushes += 1
    return distances
