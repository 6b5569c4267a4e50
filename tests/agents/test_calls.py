"""Calls that wait for a service: how many run at a time, and what an error does to the others."""

from __future__ import annotations

import threading

import pytest

from agents.calls import Calls


def collected(calls: Calls[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    while calls.waiting:
        found |= calls.ended(60)
    return found


def test_every_call_is_heard_of_and_no_more_run_than_there_are_slots():
    lock, running, most = threading.Lock(), 0, 0

    def call(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1
        return number * number

    calls = Calls[int](threading.Semaphore(3))
    for number in range(40):
        calls.begin(number, lambda number=number: call(number))
    assert collected(calls) == {number: number * number for number in range(40)}
    assert most <= 3


def test_what_a_call_raises_is_raised_where_it_is_waited_for():
    def fail() -> int:
        raise ValueError("refused")

    calls = Calls[int](threading.Semaphore(1))
    calls.begin(0, fail)
    with pytest.raises(ValueError, match="refused"):
        calls.ended(60)


def test_once_the_wait_is_given_up_no_further_call_is_made():
    slots, made, gate = threading.Semaphore(1), list[int](), threading.Event()
    before = set(threading.enumerate())
    calls = Calls[int](slots)
    calls.begin(0, lambda: int(gate.wait()))
    calls.begin(1, lambda: made.append(1) or 1)
    with pytest.raises(TimeoutError, match=r"none of 2 calls ended within 0\.05 s"):
        calls.ended(0.05)
    started = set(threading.enumerate()) - before
    gate.set()
    for thread in started:
        thread.join(60)
    assert (len(started), made) == (2, [])
