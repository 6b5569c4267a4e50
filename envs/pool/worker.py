"""What runs in a worker process: some worlds, asked by the pool one request at a time.

Started by `envs.pool.process` as `python -m envs.pool.worker FD`, where FD is its end of a socket pair. Ends when the
other end is closed.
"""

from __future__ import annotations

import faulthandler
import pickle
import socket
import sys
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from envs.errors import InputError
from envs.pool.messages import LENGTH, Kind, Outcome, Reply, Request, encode
from envs.registry import make
from envs.worlds import Answer, Seat, Start, missing_file


class _World(NamedTuple):
    """One world, and what it was made from."""

    description: tuple[str, dict[str, Any]]
    seat: Seat


class Worlds:
    """The worlds of this process, by the number of their place."""

    def __init__(self) -> None:
        self._worlds: dict[int, _World] = {}
        self._answers: dict[Kind, Callable[..., Any]] = {Kind.RESET: self._reset, Kind.ACT: self._act}
        self._answers[Kind.STEP] = self._step

    def answer(self, place: int, request: Request) -> bytes:
        """Does what is asked; returns the encoded reply."""
        try:
            return encode(Reply(Outcome.SAID, self._answers[request.kind](place, *request.content)))
        except Exception as error:  # whatever a world may raise, or say that cannot be sent, is its episode's result
            self.drop(place)
            if isinstance(error, InputError) and request.kind is not Kind.STEP:
                return encode(Reply(Outcome.REFUSED, str(error)))
            if request.kind is Kind.RESET and (missing := missing_file(error)):
                return encode(Reply(Outcome.REFUSED, missing))
            return encode(Reply(Outcome.RAISED, f"{type(error).__name__}: {error}"))

    def drop(self, place: int) -> None:
        """Closes a world: one that failed may be in any state."""
        world = self._worlds.pop(place, None)
        if world is not None:
            world.seat.close()

    def close(self) -> None:
        """Closes all."""
        for place in list(self._worlds):
            self.drop(place)

    def _reset(
        self, place: int, target: str, options: dict[str, Any], seed: int | None, reset: dict[str, Any] | None
    ) -> Start:
        world = self._worlds.get(place)
        if world is None or world.description != (target, options):
            self.drop(place)
            world = self._worlds[place] = _World((target, options), Seat(make(target, **options)))
        return world.seat.reset(seed=seed, options=reset)

    def _act(self, place: int, player: str, seed: int) -> str:
        return self._worlds[place].seat.act(player, seed)

    def _step(self, place: int, command: str) -> Answer:
        return self._worlds[place].seat.step(command)


def main() -> None:
    """Answers requests until there are no more."""
    faulthandler.enable()
    connection = socket.socket(fileno=int(sys.argv[1]))
    # A child of a world that held it would hide the end of this process from the pool.
    connection.set_inheritable(False)
    worlds = Worlds()
    with connection, connection.makefile("rb") as requests:
        connection.sendall(encode(Reply(Outcome.READY)))
        while (message := _receive(requests)) is not None:
            connection.sendall(worlds.answer(*message))
        worlds.close()


def _receive(requests: IO[bytes]) -> tuple[int, Request] | None:
    head = requests.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    content = requests.read(length)
    if len(content) < length:
        return None
    message: tuple[int, Request] = pickle.loads(content)
    return message


if __name__ == "__main__":
    main()
