"""Memory that was freed goes back to the system."""

from __future__ import annotations

import os
import platform
from multiprocessing import get_context
from multiprocessing.connection import Connection

import psutil
import pytest

from training.memory import give_back

HELD = 64 << 20


def _hold_and_free(answers: Connection) -> None:
    own = psutil.Process()
    before = own.memory_info().rss
    # Each is small enough to come from the heap; those that stay keep the heap from shrinking by itself.
    pieces = [os.urandom(64 << 10) for _ in range(HELD >> 16)]
    kept = pieces[::64]
    pieces.clear()
    freed = own.memory_info().rss
    give_back()
    answers.send((freed - before, own.memory_info().rss - before, len(kept)))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to give back")
def test_holes_in_the_heap_are_given_back():
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_hold_and_free, args=(theirs,))
    child.start()
    assert ours.poll(60)
    kept, left, pieces = ours.recv()
    child.join(60)
    assert pieces == HELD >> 22
    assert kept > HELD / 2
    assert left < HELD / 8
