"""The comparison's figures."""

from __future__ import annotations

import math

import pytest

from envs.alfworld.compare import REQUIRED, Game, Row, Spread, measure
from envs.alfworld.generator import generate, room_number
from tests.envs.alfworld.test_generator import room_of


def test_spreads() -> None:
    spread = Spread.of([1, 2, 3, 4, 5, 6, 7, 8, 9, 100])
    assert spread == (14.5, (1.0, 5.0, 9.0))
    assert str(spread) == "14.50 (1/5/9)"
    assert str(Spread(0.5)) == "50.0%"
    assert math.isnan(Spread.of([]).mean)
    assert Row("x", Spread(2.0), Spread(3.0), Spread(1.0)).deviation == pytest.approx(0.5)


def test_rooms_are_told_from_the_games() -> None:
    for index in range(60):
        problem = generate("unseen" if index % 2 else "train", index)
        assert room_number(problem) == room_of(problem)


def test_measures_of_generated_games() -> None:
    problems = [generate("train", index) for index in range(12)]
    games = [Game(problem, room_number(problem)) for problem in problems]
    measured = measure(games)
    assert set(REQUIRED) <= set(measured)
    assert measured["walkthrough"] == measured["oracle's turns"]
    assert measured["objects"].mean == pytest.approx(sum(len(problem.things) for problem in problems) / 12)
    kinds = ("bathroom", "bedroom", "kitchen", "living room")
    assert sum(measured[f"in a {kind}"].mean for kind in kinds) == pytest.approx(1)
    mean = sum(measured[f"in a {kind}"].mean * (measured[f"receptacles, {kind}"].mean or 0) for kind in kinds)
    assert mean == pytest.approx(measured["receptacles"].mean)
    longer = measure([game._replace(walkthrough=("look",) * 20) for game in games])
    assert longer["walkthrough"] == (20.0, (20.0, 20.0, 20.0))
