"""Whether the other processes of a training go on: each says so now and then, through the store that they met in.

A process that waits for the others' parts cannot tell one that plays for an hour from one that is stopped or on a
machine that is gone: nothing comes from either. What says it here is a thread, which goes on while its process plays.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from envs.errors import KeystoneError

SECONDS = 300.0
"""How long another process may be silent; what it is doing may take as long as it likes."""
_EVERY = 2.0
_LOOK = timedelta(seconds=1)
_LEAVE = 30.0


class LostProcessError(KeystoneError):
    """Another process of the training has ended, is stopped, or is on a machine that cannot be reached."""


class Heartbeat:
    """What this process says of itself, and when it last heard of each other one.

    Args:
        store: a `torch.distributed.Store`, used by nobody else at the same time.
        rank: of this process.
        count: of all processes.
    """

    def __init__(self, store: Any, rank: int, count: int) -> None:  # noqa: ANN401 - torch is not imported here
        self._store, self._rank = store, rank
        now = time.monotonic()
        self._said: dict[int, bytes] = {other: b"" for other in range(count) if other != rank}
        self._when = dict.fromkeys(self._said, now)
        self._over = threading.Event()
        self._unfinished: Any = None
        self._speaker = threading.Thread(target=self._go_on, daemon=True)
        self._speaker.start()
        atexit.register(self._leave)

    @property
    def lost(self) -> bool:
        """Whether it waited for a process in vain. What was asked of its group can then neither end nor be ended."""
        return self._unfinished is not None

    def close(self) -> None:
        """Falls silent."""
        self._over.set()
        if not self.lost:
            atexit.unregister(self._leave)
            self._end()

    def wait(self, work: Any, group: Any) -> None:  # noqa: ANN401 - as the lines below say
        """Waits until the others have done their part of a collective operation, as long as they go on.

        Args:
            work: the operation, a `torch.distributed.Work`.
            group: whose it is.

        Raises:
            LostProcessError: one of them does not.
        """
        while not work.is_completed():
            with suppress(RuntimeError):
                work.wait(_LOOK)
            try:
                self._check()
            except LostProcessError:
                self._unfinished = work, group
                raise
        try:
            work.wait(_LOOK)
        except RuntimeError as error:
            raise LostProcessError(broken(error)) from error

    def _check(self) -> None:
        now = time.monotonic()
        silent = [other for other, when in self._when.items() if now - when > SECONDS]
        if silent:
            named = ", ".join(f"process {other} ({self._said[other].decode() or 'never heard of'})" for other in silent)
            raise LostProcessError(
                f"{named} has not been heard of for {SECONDS:g} s, and process {self._rank} waits for its part of the "
                "work: it is stopped, or its machine is gone. End it."
            )

    def _leave(self) -> None:
        """Ends the program, which would else wait for ever to let go of a group with an operation under way."""
        self._over.set()
        if self.lost:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
        self._end()

    def _end(self) -> None:
        # A thread that comes back from the store while Python shuts down aborts the whole process: torch's calls cannot
        # be unwound.
        self._speaker.join(_LEAVE)

    def _go_on(self) -> None:
        number, own = 0, f"{self._rank}"
        # A store that is gone keeps silent about all others, which is what there is to notice.
        with suppress(RuntimeError):
            while not self._over.wait(_EVERY if number else 0.0):
                number += 1
                self._store.set(own, f"pid {os.getpid()} on {socket.gethostname()}, word {number}")
                for other, before in self._said.items():
                    if self._store.check([f"{other}"]) and (said := self._store.get(f"{other}")) != before:
                        self._said[other], self._when[other] = said, time.monotonic()


def broken(error: RuntimeError) -> str:
    """Says that a connection broke, with what torch said of it."""
    (said, *_) = str(error).strip().splitlines() or [type(error).__name__]
    return f"the connection to another process broke: it has ended, or its machine is gone ({said})."
