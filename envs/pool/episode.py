"""One episode in a pool: what its world was asked and said, so that another world can be brought to the same point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from envs.pool.messages import Kind, Request
from envs.registry import target_of
from envs.types import Info
from envs.worlds import Failure


@dataclass(frozen=True)
class World:
    """A kind of world.

    Attributes:
        name: the environment's name.
        options: its options.
    """

    name: str
    options: Mapping[str, Any]

    @property
    def target(self) -> str:
        """Its class as "module:Class": names that this process registered are not known in a worker."""
        return target_of(self.name)


class Start(NamedTuple):
    """How an episode starts.

    Attributes:
        world: the kind of world.
        seed: as for `TextEnv.reset`.
        options: as for `TextEnv.reset`.
    """

    world: World
    seed: int | None
    options: dict[str, Any] | None

    @property
    def request(self) -> Request:
        """What the worker is asked for."""
        return Request(Kind.RESET, (self.world.target, dict(self.world.options), self.seed, self.options))


class ChangedError(Exception):
    """A world that was played again said something else than before."""


@dataclass(eq=False)
class PooledEpisode:
    """An episode and where its world is.

    Attributes:
        start: how it started.
        place: number of its world in its worker.
        asked: all that its world was asked, and is asked now.
        said: the answers; one fewer than requests while one is awaited.
        position: how many of the requests the present world has answered.
        tries: how often the episode was begun.
        cause: why it was begun again last; empty if it was not.
        failure: set when it cannot go on.
    """

    start: Start
    place: int
    asked: list[Request] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)
    position: int = 0
    tries: int = 1
    cause: str = ""
    failure: Failure | None = None

    @property
    def waiting(self) -> bool:
        """Whether an answer is awaited."""
        return self.failure is None and len(self.said) < len(self.asked)

    @property
    def request(self) -> Request:
        """What its world has to be asked next."""
        return self.asked[self.position]

    @property
    def outcome(self) -> Any:  # noqa: ANN401 - a Start, an Answer, a command or a Failure
        """The newest answer, or the failure."""
        return self.said[-1] if self.failure is None else self.failure

    @property
    def turn(self) -> int:
        """The turn its present world is in, the first being 1; 0 is the reset."""
        return sum(request.kind is Kind.STEP for request in self.asked[: self.position + 1])

    @property
    def task(self) -> str:
        """The task's name, or what stands for it until the world has said it."""
        if self.said:
            return str(self.said[0][1].get("task", "unnamed"))
        return str((self.start.options or {}).get("task", f"of seed {self.start.seed}"))

    def take(self, value: Any) -> None:  # noqa: ANN401 - as in `outcome`
        """Takes the answer to `request`.

        Raises:
            ChangedError: it was answered otherwise before.
        """
        if self.position < len(self.said):
            if _essence(value) != _essence(self.said[self.position]):
                raise ChangedError
        else:
            self.said.append(value)
        self.position += 1

    def withdraw(self, answered: int) -> None:
        """Takes back all that it was asked after so many answers; its world is given up."""
        del self.asked[answered:], self.said[answered:]
        self.rewind()

    def rewind(self) -> None:
        """Its world is gone: another one has to be asked everything again."""
        self.position = 0


def _essence(said: Any) -> Any:  # noqa: ANN401 - as in `outcome`
    """What the contract speaks of: further keys of an info may tell times and the like."""
    if isinstance(said, str):
        return said
    *rest, info = said
    return rest, {name: info.get(name) for name in Info.__annotations__}
