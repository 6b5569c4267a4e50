"""Playing a panel, counting its episodes, and rows that can be read back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.policies.scripted import ScriptedPolicy
from agents.types import Episode, EpisodeKey, StopReason, Turn
from envs.errors import InputError
from evals.panels import Panel, draw
from evals.scoring import episode_of, episode_row, play, score, score_by_type, wins
from tests.envs.corridor import Corridor

TEXT = st.text(max_size=20)
TURNS = st.builds(
    Turn, TEXT, TEXT, TEXT, st.booleans(), st.floats(allow_nan=False, allow_infinity=False), anchor=st.just("")
)
EPISODES = st.builds(
    Episode,
    key=st.builds(EpisodeKey, st.integers(0, 2**31), st.integers(-1, 5), TEXT, st.integers(0, 7)),
    turns=st.lists(TURNS, max_size=4),
    stop=st.sampled_from(StopReason),
    won=st.booleans(),
    task_type=st.sampled_from(["carry", "cook", ""]),
    goal=TEXT,
    policy_version=st.integers(0, 9),
    error=st.none() | TEXT,
    final_observation=TEXT,
)


def episode(stop: StopReason, valid: list[bool], kind: str = "carry", task: str = "") -> Episode:
    turns = [Turn("a room", "go", "go", good, 0.0, "") for good in valid]
    won = stop is StopReason.WON
    return Episode(EpisodeKey(0, -1, task or f"{stop} {valid}", 0), turns=turns, stop=stop, won=won, task_type=kind)


MIXED = [
    episode(StopReason.WON, [True, True]),
    episode(StopReason.WON, [True, False, True], "cook"),
    episode(StopReason.LOST, [True]),
    episode(StopReason.TURN_LIMIT, [False, False]),
    episode(StopReason.CONTEXT, [True, True], "cook"),
    episode(StopReason.ERROR, []),
]


def test_a_score_worked_by_hand():
    found = score(MIXED)
    assert found.success == pytest.approx(2 / 6)
    # Wilson, 2 of 6: (1/3 + z^2/12 -+ z sqrt(2/54 + z^2/144)) / (1 + z^2/6) with z = 1.959964
    assert found.interval == pytest.approx((0.09677141, 0.70000671), abs=1e-7)
    assert (found.episodes, found.context_stops, found.errors) == (6, 1, 1)
    assert found.mean_turns == pytest.approx(10 / 6)
    assert found.invalid_actions == pytest.approx(3 / 10)
    assert wins(MIXED).tolist() == [True, True, False, False, False, False]


def test_nothing_played_has_no_score():
    with pytest.raises(InputError, match="0 successes of 0 episodes"):
        score([])


@settings(deadline=None, max_examples=50)
@given(st.lists(EPISODES, min_size=1, max_size=8))
def test_kinds_of_task_add_up_to_the_whole(episodes: list[Episode]):
    whole, kinds = score(episodes), score_by_type(episodes)
    assert list(kinds) == sorted({each.task_type for each in episodes})
    for count in ("episodes", "context_stops", "errors"):
        assert sum(getattr(found, count) for found in kinds.values()) == getattr(whole, count)
    assert sum(found.success * found.episodes for found in kinds.values()) == pytest.approx(
        whole.success * whole.episodes
    )


@settings(deadline=None, max_examples=50)
@given(EPISODES)
def test_a_row_is_read_back_as_the_episode_it_was_written_from(written: Episode):
    row = json.loads(json.dumps(episode_row(written, arm="base", temperature=0.4)))
    assert (row["arm"], row["temperature"]) == ("base", 0.4)
    assert episode_of(row) == written


def corridor() -> Corridor:
    return Corridor(length=40, max_turns=30, split="test")


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_a_panel_is_played_in_its_order_whatever_the_batch(batch: int):
    panel, seen = draw(corridor(), "corridors", 4, 12), []
    episodes = play(corridor, ScriptedPolicy("random"), panel, 7, batch=batch, ended=seen.append)
    assert [each.key.task for each in episodes] == list(panel.tasks)
    assert sorted(each.key for each in seen) == sorted(each.key for each in episodes)
    once = play(corridor, ScriptedPolicy("random"), panel, 7)
    assert episodes == once


def actions(tasks: tuple[str, ...], seed: int) -> list[list[str]]:
    episodes = play(corridor, ScriptedPolicy("random"), Panel("some", tasks), seed)
    return [[turn.action for turn in each.turns] for each in episodes]


def test_luck_belongs_to_the_task_and_the_seed():
    both = actions(("test-3", "test-5"), 1)
    assert both == [*actions(("test-3",), 1), *actions(("test-5",), 1)]
    assert both[0] != both[1]
    assert both != actions(("test-3", "test-5"), 2)


def test_a_stop_leaves_out_what_has_not_ended():
    panel = Panel("near and far", ("test-39", "test-0"))

    def asked_after(turns: int) -> Callable[[], bool]:
        left = iter([False] * turns)
        return lambda: next(left, True)

    episodes = play(corridor, ScriptedPolicy("oracle"), panel, 0, stop=asked_after(5))
    assert [each.key.task for each in episodes] == ["test-39"]
