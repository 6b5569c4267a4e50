"""What goes wrong in a world or in its player is the result of its row, in this process as in a pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from envs.errors import InputError
from envs.pool import Pool, PoolConfig, Pooled
from envs.types import Info, TextEnv
from envs.worlds import Failure, LocalWorlds, Worlds
from tests.envs.corridor import Corridor, Rightward

CLUMSY = f"{__name__}:Clumsy"


class Stumbling(Rightward):
    """Goes right until room 2, where it fails; it cannot even be built in room 3."""

    def __init__(self, env: TextEnv) -> None:
        if isinstance(env, Clumsy) and env.place == 3:
            raise ValueError("no shoes")

    def act(self, text: str, info: Info) -> str:
        if text.endswith("2."):
            raise RuntimeError("broken player")
        return super().act(text, info)


class Clumsy(Corridor):
    """A corridor that notes which of its worlds were closed."""

    players: ClassVar = {**Corridor.players, "stumbling": lambda env, seed: Stumbling(env)}
    closed: ClassVar[list[str]] = []

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        if action == "fall":
            raise OSError("the floor is gone")
        return super().step(action)

    def close(self) -> None:
        self.closed.append(self.task)
        raise RuntimeError("the door is stuck")


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(PoolConfig(workers=1, worlds=4, tries=1), lambda line: None) as made:
        yield made


@pytest.fixture(params=["here", "pool"])
def worlds(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Worlds]:
    made: Worlds = LocalWorlds(lambda: Clumsy(length=6)) if request.param == "here" else Pooled(pool, CLUMSY, length=6)
    yield made
    made.release(range(4))


def test_a_player_that_fails_is_its_rows_result(worlds: Worlds):
    worlds.reset({0: "train-0", 1: "train-1", 2: "train-3"})
    seeds = {0: 0, 1: 0, 2: 0}
    assert worlds.act("stumbling", seeds) == ["go right", "go right", ""]
    said: Any = worlds.step({0: "go right", 1: "go right", 2: ""})
    assert (said[0][0], said[1][0]) == ("You are in room 1.", "You are in room 2.")
    assert said[2] == Failure("ValueError: no shoes")
    assert worlds.act("stumbling", seeds) == ["go right", "", ""]
    said = worlds.step({0: "go right", 1: "", 2: ""})
    assert said[0][0] == "You are in room 2."
    assert (said[1], said[2]) == (Failure("RuntimeError: broken player"), Failure("ValueError: no shoes"))
    worlds.release([1])
    assert worlds.reset({1: "train-0"})[1][0] == "You are in room 0."  # type: ignore[index]
    assert worlds.act("oracle", {1: 0}) == ["go right"]


def test_a_world_that_fails_stays_failed(worlds: Worlds):
    worlds.reset({0: "train-0", 1: "train-1"})
    for command in ("fall", "go right"):
        said: Any = worlds.step({0: command, 1: "sing"})
        assert said[0] == Failure("OSError: the floor is gone")
        assert said[1][0] == "Nothing happens."
    assert worlds.act("oracle", {0: 0, 1: 0}) == ["", "go right"]


def test_an_unknown_player_is_the_users_error(worlds: Worlds):
    worlds.reset({0: "train-0"})
    with pytest.raises(InputError, match="Did you mean 'oracle'"):
        worlds.act("orcle", {0: 0})


def test_a_world_that_failed_is_closed_and_not_used_again():
    Clumsy.closed.clear()
    made: list[Clumsy] = []

    def make() -> Clumsy:
        made.append(Clumsy(length=6))
        return made[-1]

    worlds = LocalWorlds(make)
    worlds.reset({0: "train-0", 1: "train-2"})
    worlds.step({0: "fall"})
    worlds.act("stumbling", {1: 0})
    assert Clumsy.closed == ["train-0", "train-2"]
    worlds.release([0, 1])
    worlds.reset({0: "train-0"})
    assert len(made) == 3
