"""The tables of an evaluation: what they say, and that they fit a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from agents.types import Episode, EpisodeKey, StopReason, Turn
from evals import score_tables


def episodes(kind: str, won: int, lost: int) -> list[Episode]:
    turns = [Turn("a room", "go", "go", True, 0.0, ""), Turn("a room", "fly", "fly", False, 0.0, "")]
    stops = [StopReason.WON] * won + [StopReason.TURN_LIMIT] * lost
    return [
        Episode(EpisodeKey(0, -1, f"{kind} {i}", 0), turns, stop=stop, won=stop is StopReason.WON, task_type=kind)
        for i, stop in enumerate(stops)
    ]


PLAYED = {
    0.0: [*episodes("pick_clean_then_place_in_recep", 800, 0), *episodes("look", 0, 400)],
    1.0: [*episodes("pick_clean_then_place_in_recep", 800, 0), *episodes("look", 100, 300)],
}


def lines(table: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_one_row_a_temperature():
    said = lines(score_tables.overall(PLAYED))
    # Wilson, 800 and 900 of 1200.
    assert "greedy 1200 66.7 % 64.0 to 69.3 2.0 50.0 % 0 0" in said
    assert "temperature 1 1200 75.0 % 72.5 to 77.4 2.0 50.0 % 0 0" in said


def test_one_row_a_kind_with_every_temperature_beside_it():
    said = lines(score_tables.by_type(PLAYED))
    assert "kind of task tasks greedy temperature 1" in said
    assert "pick_clean_then_place_in_recep 800 100.0 % (99.5\u2013100.0) 100.0 % (99.5\u2013100.0)" in said
    assert "look 400 0.0 % (0.0\u20131.0) 25.0 % (21.0\u201329.5)" in said


def test_a_player_has_no_temperature():
    played = {None: episodes("look", 1, 1)}
    assert "as scripted 2 50.0 % 9.5 to 90.5 2.0 50.0 % 0 0" in lines(score_tables.overall(played))
    assert "kind of task tasks success" in lines(score_tables.by_type(played))


def test_a_task_that_broke_at_its_reset_at_one_temperature_only_has_no_kind_there():
    broken = Episode(EpisodeKey(0, -1, "look 0", 0), [], stop=StopReason.ERROR, error="the lamp fell")
    whole = episodes("look", 1, 1)
    said = lines(score_tables.by_type({0.0: [broken, whole[1]], 1.0: whole}))
    assert "unknown 1 0.0 % (0.0\u201379.3) \u2013" in said
    assert "look 1 0.0 % (0.0\u201379.3) 50.0 % (9.5\u201390.5)" in said
