"""The parts of a pool by themselves: messages, episodes that are played again, and what the machine has room for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.pool import PoolConfig, World
from envs.pool import config as pool_config
from envs.pool.episode import ChangedError, PooledEpisode, Start
from envs.pool.messages import LENGTH, MOST_BYTES, Kind, Request, encode, split

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_messages_come_out_as_they_went_in_however_they_are_cut(values: list[Any], cuts: list[int]):
    stream = b"".join(encode(value) for value in values)
    received, found, place = bytearray(), [], 0
    while place < len(stream):
        cut = cuts[place % len(cuts)]
        received += stream[place : place + cut]
        place += cut
        found += [pickle.loads(message) for message in split(received)]
    assert found == values
    assert not received


def test_what_is_no_message_is_found_out_at_once():
    with pytest.raises(ValueError, match="no message"):
        split(bytearray(LENGTH.pack(MOST_BYTES + 1)))
    with pytest.raises(ValueError, match="no message"):
        split(bytearray(b"Fatal Python error: out of ink\n"))


def said(number: int, secret: int = 0) -> Any:
    info = {"admissible_commands": [], "anchor": str(number), "won": False, "goal": "", "task": "t", "task_type": ""}
    answer = (f"text {number}", {**info, "seconds": secret})
    return answer if number == 0 else (answer[0], 0.5, False, False, answer[1])


@given(st.integers(1, 12), st.sets(st.integers(0, 40), max_size=5))
def test_an_episode_that_is_played_again_any_number_of_times_is_the_same(turns: int, losses: set[int]):
    start = Start(World("tests.envs.corridor:Corridor", {}), None, {"task": "t"})
    episode, taken = PooledEpisode(start, 0), 0
    for turn in range(turns):
        episode.asked.append(start.request if turn == 0 else Request(Kind.STEP, (str(turn),)))
        while episode.waiting:
            if taken in losses:
                episode.rewind()
            position = episode.position
            assert episode.turn == position
            # What an info holds beside the contract's keys may differ.
            episode.take(said(position, secret=taken))
            taken += 1
    assert [value[0] for value in episode.said] == [f"text {turn}" for turn in range(turns)]
    episode.rewind()
    with pytest.raises(ChangedError):
        episode.take(("text 99", said(0)[1]))


def test_what_is_left_to_the_machine_fits_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    auto = PoolConfig()
    assert auto.num_workers == psutil.cpu_count()
    assert 1 <= auto.num_worlds <= 8
    assert 2 * auto.num_workers * auto.memory_bytes <= max(psutil.virtual_memory().total, 2 * auto.num_workers * 512e6)
    assert PoolConfig(workers=3, worlds=5, memory_megabytes=7).memory_bytes == 7_000_000
    monkeypatch.setattr(pool_config, "_CGROUP", tmp_path)
    free = pool_config.free_bytes()
    (tmp_path / "memory.max").write_text("2000000\n")
    (tmp_path / "memory.current").write_text("500000\n")
    assert pool_config.free_bytes() == 1_500_000
    assert (auto.num_worlds, auto.memory_bytes) == (1, 512_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert abs(pool_config.free_bytes() - free) < 2e9
