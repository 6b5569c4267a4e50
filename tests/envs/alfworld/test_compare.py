"""The comparison's figures."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from envs.alfworld.compare import REQUIRED, CompareConfig, Game, Row, Spread, main, measure
from envs.alfworld.generate import GenerateConfig, write_games
from envs.alfworld.generator import generate, room_number
from tests.envs.alfworld.test_generator import room_of


def test_spreads() -> None:
    spread = Spread.of([1, 2, 3, 4, 5, 6, 7, 8, 9, 100])
    assert spread == (14.5, (1.0, 5.0, 9.0))
    assert str(spread) == "14.50 (1/5/9)"
    assert str(Spread(0.5)) == "50.0%"
    assert math.isnan(Spread.of([]).mean)
    assert Row("x", Spread(2.0), Spread(3.0), Spread(1.0)).deviation == pytest.approx(0.5)


def test_what_real_games_never_have() -> None:
    assert Row("x", Spread(0.0), Spread(0.1), Spread(0.1)).deviation == math.inf
    assert math.isnan(Row("x", Spread(0.0), Spread(0.0), Spread(0.1)).deviation)


def test_real_games_of_one_kind_of_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("alfworld", reason="needs pip install 'keystone-rl[alfworld]'")
    assert (
        len(
            list(
                write_games(GenerateConfig(out=str(tmp_path), games=12, task_types=("pick_heat_then_place_in_recep",)))
            )
        )
        == 12
    )
    assert main(CompareConfig(data=str(tmp_path), games=10)) == 1
    told = capsys.readouterr().out
    assert re.search(r"in a bathroom .* 0\.0% .* \+inf% ", told)
    assert "pick_and_place_simple" in told.rpartition("required means off")[2]


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
    played = [kind for kind in kinds if measured[f"in a {kind}"].mean]
    mean = sum(measured[f"in a {kind}"].mean * measured[f"receptacles, {kind}"].mean for kind in played)
    assert mean == pytest.approx(measured["receptacles"].mean)
    longer = measure([game._replace(walkthrough=("look",) * 20) for game in games])
    assert longer["walkthrough"] == (20.0, (20.0, 20.0, 20.0))
