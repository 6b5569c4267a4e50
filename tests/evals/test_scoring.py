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
from evals.clusters import clustered
from evals.panels import Panel, draw
from evals.scoring import episode_of, episode_row, play, score, score_by_type, task_wins, wins
from evals.statistics import wilson
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


def test_tokens_are_told_where_all_turns_tell_them():
    def of(*turns: Turn) -> Episode:
        return Episode(EpisodeKey(0, -1, "task", len(turns)), turns=list(turns), stop=StopReason.LOST, seconds=1.5)

    sampled = Turn("a", "b", "b", True, 0.0, "", tokens=(4, 5, 6))
    told, silent = Turn("a", "b", "b", True, 0.0, "", sampled=5), Turn("a", "b", "b", True, 0.0, "")
    assert [turn.num_tokens for turn in (sampled, told, silent)] == [3, 5, None]
    found = score([of(sampled, told), of(sampled)])
    assert (found.mean_tokens, found.tasks, found.episodes) == (11 / 2, 1, 2)
    assert score([of(sampled, silent)]).mean_tokens is None
    assert score([of()]).mean_tokens is None
    row = episode_row(of(sampled, told, silent))
    assert [turn["tokens"] for turn in row["turns"]] == [3, 5, None]
    assert row["cost"] == {"seconds": 1.5}
    read = episode_of(row)
    assert ([turn.num_tokens for turn in read.turns], read.seconds) == ([3, 5, None], 1.5)
    old = {**row, "turns": [{name: turn[name] for name in turn if name != "tokens"} for turn in row["turns"]]}
    del old["cost"]
    assert [turn.num_tokens for turn in episode_of(old).turns] == [None] * 3


def test_several_plays_of_a_task_are_one_cluster():
    def of(task: str, seed: int, won: bool) -> Episode:
        stop = StopReason.WON if won else StopReason.LOST
        return Episode(EpisodeKey(seed, -1, task, 0), stop=stop, won=won)

    episodes = [of(f"{task}", seed, task < 6) for seed in range(4) for task in range(10)]
    assert task_wins(episodes) == ([4] * 6 + [0] * 4, [4] * 10)
    found = score(episodes)
    assert (found.tasks, found.episodes, found.success) == (10, 40, 0.6)
    # As wide as ten tasks make it, not as narrow as forty would.
    low, high = wilson(6, 10)
    assert found.interval.low < low < high < found.interval.high
    assert found.interval == clustered([4] * 6 + [0] * 4, [4] * 10)


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
