"""Boards are read, drawn and played by the rules of Sokoban."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.sokoban.board import MOVES, LevelError, drawn, moved, read_level, squares_of
from envs.sokoban.generator import Difficulty, generate
from tests.envs.sokoban.levels import CORRIDOR, TWO, level


def test_moves_and_what_is_said_of_them():
    board = level(*CORRIDOR)
    boxes, player, said = moved(board, board.boxes, board.player, "right")
    assert said == "You move right."
    boxes, player, said = moved(board, boxes, player, "right")
    assert (drawn(board, boxes, player)[1], said) == ("#  @$.#", "You push a box right.")
    boxes, player, said = moved(board, boxes, player, "right")
    assert (drawn(board, boxes, player)[1], said) == ("#   @*#", "You push a box right onto a target.")
    stuck = moved(board, boxes, player, "right")
    assert stuck == (boxes, player, "You cannot push the box right: there is a wall behind it.")
    assert moved(board, boxes, player, "up") == (boxes, player, "You cannot move up: there is a wall.")
    assert moved(board, boxes, player, "pull") == (
        boxes,
        player,
        "Nothing happens. Your moves are up, down, left and right.",
    )


def test_a_box_does_not_push_another():
    board = level(*TWO)
    assert (
        moved(board, board.boxes, board.player, "left")[2] == "You cannot push the box left: there is a box behind it."
    )


def test_a_box_is_pushed_off_its_target():
    board = level("######", "#@* .#", "#$   #", "######")
    assert moved(board, board.boxes, board.player, "right")[2] == "You push a box right off its target."


@given(number=st.integers(0, 200), moves=st.lists(st.sampled_from(MOVES), max_size=40))
def test_boxes_stay_on_the_floor_and_as_many_as_they_were(number, moves):
    board = generate(Difficulty(boxes=2), "train", number).level
    boxes, player = board.boxes, board.player
    for move in moves:
        boxes, player, _ = moved(board, boxes, player, move)
        assert boxes.bit_count() == 2
        assert (boxes | 1 << player) & ~board.floor == 0
        assert not boxes >> player & 1


@given(number=st.integers(0, 200), floor=st.sampled_from(" _-"))
def test_a_drawn_level_is_read_as_what_it_was(number, floor):
    board = generate(Difficulty(boxes=2), "train", number).level
    assert read_level(drawn(board, board.boxes, board.player, floor)) == board


def test_squares_are_listed_in_order():
    assert list(squares_of(0b1010010)) == [1, 4, 6]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["#####", "#@$x#", "#####"], "row 2 has the unknown symbol 'x'"),
        (["#####", "# $.#", "#####"], "0 players"),
        (["######", "#@@$.#", "######"], "2 players"),
        (["######", "#@$  #", "######"], "1 boxes and 0 targets"),
        (["######", "#@   #", "######"], "0 boxes and 0 targets"),
        (["######", "#@$ . ", "######"], "outer wall is open"),
        (["#@$.#"], "outer wall is open"),
        (["########", "#@#$ ..#", "#$######", "#      #", "########"], "out of the player's reach"),
        (["#####", "#@ *#", "#####"], "on targets already"),
        (["######", "#@$$.#", "######", "#.####", "######"], "out of the player's reach"),
        (["#######", "#@$$..#", "#######"], "the player cannot move"),
        (["#" * 200] * 100, "20,000 squares"),
    ],
)
def test_broken_levels_say_what_is_wrong(rows, reason):
    with pytest.raises(LevelError, match=reason):
        read_level(rows)


def test_a_box_that_stays_on_its_target_may_be_out_of_reach():
    board = level("########", "#@$ .#*#", "########")
    assert moved(board, board.boxes, board.player, "right")[2] == "You push a box right."
