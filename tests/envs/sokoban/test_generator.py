"""Generated levels have the stated size, boxes and pushes, and no split shares one with another."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.sokoban.generator import SPLITS, Difficulty, generate, read_label, split_of
from envs.sokoban.solver import solve

SIZES = st.integers(6, 7)


@st.composite
def difficulties(draw: st.DrawFn) -> Difficulty:
    least = draw(st.integers(1, 2))
    # A small room without walls has so few layouts that a split may have none of them.
    walls = draw(st.sampled_from([0.1, 0.25]))
    return Difficulty(draw(st.integers(1, 2)), draw(SIZES), draw(SIZES), walls, least, least + draw(st.integers(0, 4)))


@settings(max_examples=60, deadline=None)
@given(difficulty=difficulties(), split=st.sampled_from(SPLITS), number=st.integers(0, 2**40))
def test_levels_are_as_stated(difficulty: Difficulty, split: str, number: int):
    level, pushes = generate(difficulty, split, number)
    assert (level.width, level.height) == (difficulty.width, difficulty.height)
    assert level.boxes.bit_count() == level.targets.bit_count() == difficulty.boxes
    assert split_of(level) == split
    assert difficulty.min_pushes <= pushes <= difficulty.max_pushes
    assert len(solve(level, level.boxes, level.player)) == pushes


@given(difficulty=difficulties())
def test_a_label_says_all(difficulty: Difficulty):
    assert read_label(difficulty.label) == difficulty


def test_narrowed_layers_still_state_the_least_number_of_pushes():
    level, pushes = generate(Difficulty(4, 10, 10, 0.25, 12, 18), "train", 1)
    assert 12 <= pushes <= 18
    assert len(solve(level, level.boxes, level.player)) == pushes


def test_every_number_of_pushes_comes_about_as_often():
    pushes = [generate(Difficulty(), "train", number).pushes for number in range(200)]
    assert all(20 <= pushes.count(wanted) <= 60 for wanted in range(1, 6))


def test_another_process_makes_the_same_level():
    code = "from envs.sokoban.generator import *; print(generate(Difficulty(boxes=2), 'valid', 7))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert made.strip() == str(generate(Difficulty(boxes=2), "valid", 7))


def test_what_hardly_exists_is_refused_in_one_line():
    with pytest.raises(InputError, match="no level 5x5,boxes=1,walls=0,pushes=30-40 of split train was found"):
        generate(Difficulty(1, 5, 5, 0, 30, 40), "train", 0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"boxes": 0}, "boxes should be a whole number from 1 to 10, got 0"),
        ({"width": 99}, "width should be a whole number from 4 to 30, got 99"),
        ({"walls": 2.0}, "walls should be a number from 0 to 0.7, got 2"),
        ({"walls": float("nan")}, "walls should be"),
        ({"min_pushes": 9}, "min_pushes=9 is more than max_pushes=5"),
        ({"boxes": 9}, "9 boxes, their targets and a player need 19 free squares"),
        ({"max_pushes": 2.5}, "a whole number"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        Difficulty(**options)


@pytest.mark.parametrize("label", ["", "6x6", "06x6,boxes=1,walls=0.2,pushes=1-5", "6x6,boxes=1,walls=0.20,pushes=1-5"])
def test_other_labels_are_refused(label: str):
    with pytest.raises(InputError):
        read_label(label)
