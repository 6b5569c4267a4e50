"""Cloning: when training ends, what is learned from, and how rows are put together."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import envs
from envs.errors import InputError
from envs.screen import Screen
from training.cloning import Row, _cut
from training.schedule import Schedule
from training.source import Source
from training.warmstart import WarmstartConfig


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def factors(schedule: Schedule, most: int = 5000) -> list[float]:
    found: list[float] = []
    while len(found) < most and (factor := schedule.factor(len(found))) > 0.0:
        found.append(factor)
    return found


def test_a_number_of_updates_is_kept_whatever_the_time():
    clock = Clock()
    schedule = Schedule(WarmstartConfig(updates=300), clock)
    clock.now = 1e6
    found = factors(schedule)
    assert len(found) == 300
    assert found[0] < 0.02 < 0.6 < max(found) < 1.0
    assert found[-1] < 0.03
    assert not any(schedule.due(update) for update in range(300))


@pytest.mark.parametrize("reached", [10, 200, 1000])
def test_once_it_wins_enough_the_rate_goes_down_over_a_share_of_the_updates(reached: int):
    schedule = Schedule(WarmstartConfig(success=0.5, decay=0.25, check_updates=100), Clock())
    assert [update for update in range(301) if schedule.due(update)] == [100, 200, 300]
    assert schedule.factor(reached - 1) == min(1.0, reached / 100)
    schedule.wind_up(reached)
    assert not schedule.due(reached + 100)
    found = [schedule.factor(update) for update in range(reached, 2 * reached)]
    over = found.index(0.0)
    assert reached / 4 <= over <= reached / 4 + 1
    assert all(after <= before for before, after in zip(found[over // 2 :], found[over // 2 + 1 :], strict=False))


def test_without_a_decay_it_stops_once_it_wins_enough():
    schedule = Schedule(WarmstartConfig(decay=0.0), Clock())
    assert schedule.factor(150) == 1.0
    schedule.wind_up(150)
    assert schedule.factor(150) == 0.0


@pytest.mark.parametrize("decay", [0.0, 0.25, 1.0])
def test_the_time_is_kept_where_it_never_wins_enough(decay: float):
    clock = Clock()
    schedule, seconds = Schedule(WarmstartConfig(success=0.5, minutes=10.0, decay=decay), clock), 0.7
    updates = 0
    while schedule.factor(updates) > 0.0:
        updates += 1
        clock.now += seconds
    assert 590 <= clock.now <= 610


def test_without_a_success_to_reach_time_alone_decides():
    clock = Clock()
    schedule = Schedule(WarmstartConfig(success=0.0, minutes=1.0), clock)
    clock.now = 59.0
    assert schedule.factor(1000) > 0.0
    assert not schedule.due(1000)
    clock.now = 60.0
    assert schedule.factor(1000) == 0.0


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(0, 9), st.integers(1, 200))
def test_batches_hold_every_row_once_and_no_more_than_allowed(lengths: list[int], batch: int, tokens: int):
    rows = [Row(torch.zeros(length), torch.zeros(length)) for length in sorted(lengths)]
    batches = _cut(WarmstartConfig(batch=batch, batch_tokens=tokens), rows)
    assert [id(row) for rows in batches for row in rows] == [id(row) for row in rows]
    for some in batches:
        if batch:
            assert len(some) <= batch
        else:
            assert len(some) == 1 or len(some) * max(len(row.ids) for row in some) <= tokens


def source(name: str, player: str, options: dict[str, Any], **settings: Any) -> Source:
    make = partial(envs.make, name, **options)
    return Source(WarmstartConfig(**settings), tuple(player.split(",")), make(), make, Screen(echo=False))


def test_only_demonstrations_that_win_are_learned_from():
    options = {"data": "generated", "max_turns": 12}
    every = source("alfworld", "expert", options, only_wins=False).play(0, 60)
    won = source("alfworld", "expert", options).play(0, 60)
    assert len(every) == 60
    assert won == [steps for steps in every if steps[-1].won]
    assert 0 < len(won) < 60


def test_of_several_players_all_demonstrations_count():
    options = {"width": 6, "height": 5, "max_pushes": 3, "max_turns": 8}
    both = source("sokoban", "oracle,pacing", options).play(0, 60)
    assert len(both) == 60
    assert 0 < sum(steps[-1].won for steps in both) < 60
    # One that is named twice plays twice as often.
    names = source("sokoban", "oracle,pacing,pacing", options)
    chosen = [steps[-1].won for steps in names.play(0, 60)]
    assert sum(chosen) < sum(steps[-1].won for steps in both)


def test_a_player_that_wins_nothing_is_no_example():
    for player, slow in (("random", True), ("random", False)):
        nothing = source("alfworld", player, {"data": "generated", "max_turns": 3}, demonstrations=10)
        nothing.env.in_process = not slow  # type: ignore[misc]
        with pytest.raises(InputError, match=r"player=random wins none of \d+ tasks"):
            next(nothing.chunks())


def test_a_small_chunk_without_a_win_is_no_reason_to_stop():
    """A slow world's last chunk has what is left over, and each of them may be unlucky."""
    options = {"data": "generated", "max_turns": 12}
    every = source("alfworld", "expert", options, only_wins=False).play(0, 60)
    lost = next(index for index, steps in enumerate(every) if not steps[-1].won)
    bank = source("alfworld", "expert", options, demonstrations=lost + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.source.CHUNK", lost)
        with pytest.raises(InputError, match="wins none of 1 tasks"):
            bank.play(lost, 1)
        assert bank._made(0, lost + 1) == [steps for steps in every[:lost] if steps[-1].won]


def test_fresh_chunks_without_a_win_are_empty_once_one_had_some():
    options = {"data": "generated", "max_turns": 12}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.source.CHUNK", 1)
        for seed in range(50):
            rare = source("alfworld", "expert", options, seed=seed)
            try:
                chunks = list(islice(rare.chunks(), 12))
            except InputError:
                continue
            if not all(chunks):
                break
    assert chunks[0]
    assert not all(chunks)


def test_of_a_slow_world_the_same_demonstrations_come_again_in_another_order():
    fast = source("math", "oracle", {})
    one, two = islice(fast.chunks(), 2)
    assert len({repr(steps) for steps in one} & {repr(steps) for steps in two}) < 128
    slow = source("math", "oracle", {}, demonstrations=40)
    slow.env.in_process = False  # type: ignore[misc]
    first, second = islice(slow.chunks(), 2)
    assert len(first) == 40
    assert first != second
    assert sorted(map(repr, first)) == sorted(map(repr, second))


def test_several_players_take_turns_and_each_task_is_played_the_same_again():
    both = source("math", "oracle,direct", {}).play(0, 60)
    assert both == source("math", "oracle,direct", {}).play(0, 60)
    alone = {player: source("math", player, {}).play(0, 60) for player in ("oracle", "direct")}
    from_oracle = [steps in alone["oracle"] for steps in both]
    assert 15 < sum(from_oracle) < 45
    assert all(steps in alone["oracle"] or steps in alone["direct"] for steps in both)
