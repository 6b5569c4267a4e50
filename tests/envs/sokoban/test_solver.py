"""Solutions win, need no more pushes than any other, and giving up says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.sokoban.board import MOVES, Level, moved
from envs.sokoban.files import levels_of
from envs.sokoban.generator import Difficulty, generate
from envs.sokoban.solver import UnsolvedError, push_distances, solve, walked
from tests.envs.sokoban.levels import TWO, level


def played(board: Level, moves: list[str]) -> int:
    boxes, player = board.boxes, board.player
    for move in moves:
        boxes, player, said = moved(board, boxes, player, move)
        assert "cannot" not in said
    return boxes


def fewest_pushes(board: Level) -> int:
    """Counts them without an estimate, without deadlocks and without areas: by moving alone."""
    layer, seen = {(board.boxes, board.player)}, set()
    pushes = 0
    while layer:
        pushed = set()
        while layer:
            seen |= layer
            after = {(here, moved(board, *here, move)[:2]) for here in layer for move in MOVES}
            pushed |= {there for here, there in after if there[0] != here[0]} - seen
            layer = {there for here, there in after if there[0] == here[0]} - seen
        pushes += 1
        if any(boxes == board.targets for boxes, _ in pushed):
            return pushes
        layer = pushed - seen
    raise AssertionError("no solution")


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, 10_000), boxes=st.integers(1, 2))
def test_no_solution_has_fewer_pushes(number, boxes):
    board = generate(Difficulty(boxes=boxes, walls=0.15, max_pushes=8), "train", number).level
    pushes = solve(board, board.boxes, board.player)
    assert len(pushes) == fewest_pushes(board)
    assert played(board, walked(board, board.boxes, board.player, pushes)) == board.targets


@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, 500), moves=st.lists(st.sampled_from(MOVES), max_size=12))
def test_what_is_called_unsolvable_is(number, moves):
    board = generate(Difficulty(boxes=2, width=5, height=5, walls=0, max_pushes=4), "train", number).level
    boxes, player = board.boxes, board.player
    for move in moves:
        boxes, player, _ = moved(board, boxes, player, move)
    here = Level(board.width, board.height, board.walls, board.floor, board.targets, boxes, player)
    if boxes == board.targets:
        return
    try:
        pushes = solve(here, boxes, player)
    except UnsolvedError:
        with pytest.raises(AssertionError, match="no solution"):
            fewest_pushes(here)
    else:
        assert len(pushes) == fewest_pushes(here)


def test_nothing_is_to_do_at_the_end():
    board = level(*TWO)
    assert solve(board, board.targets, board.player) == ()


@pytest.mark.parametrize(
    "rows",
    [
        ["#######", "#@  . #", "#    $#", "#######"],
        ["#######", "# .. @#", "#$$   #", "#######"],
        ["######", "#$ .@#", "#   ##", "######"],
    ],
)
def test_dead_positions_are_seen_at_once(rows):
    board = level(*rows)
    with pytest.raises(UnsolvedError, match="cannot be solved"):
        solve(board, board.boxes, board.player, most_positions=3)


def test_giving_up_says_after_how_many_positions():
    board = generate(Difficulty(boxes=3, width=8, height=8, min_pushes=8, max_pushes=20), "train", 0).level
    with pytest.raises(UnsolvedError, match="no solution was found among 2 positions"):
        solve(board, board.boxes, board.player, most_positions=2)


def test_distances_of_a_lone_box():
    board = level("#######", "#@$  .#", "#     #", "#######")
    assert push_distances(board)[0, 7 + 1 : 7 + 6].tolist() == [1 << 20, 3, 2, 1, 0]


@pytest.mark.parametrize("name", ["unfiltered_test_000.txt", "medium_valid_000.txt", "hard_003.txt"])
def test_published_levels_are_solved(real_data: Path, name: str):
    for board in levels_of(real_data / "sokoban" / name)[:100]:
        pushes = solve(board, board.boxes, board.player)
        assert played(board, walked(board, board.boxes, board.player, pushes)) == board.targets
