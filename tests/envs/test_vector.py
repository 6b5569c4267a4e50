"""Worlds stepped together answer as the same worlds stepped alone."""

from __future__ import annotations

import random
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import envs
from envs.errors import InputError
from envs.registry import env_class
from envs.types import Info
from tests.envs.corridor import Corridor

CORRIDOR = "tests.envs.corridor:Corridor"
OPTIONS: dict[str, dict[str, Any]] = {
    "alfworld": {"data": "generated", "max_turns": 9},
    "sokoban": {"max_turns": 9},
    "toy_text": {"max_turns": 9},
    "webshop": {"max_turns": 9},
}
# Slow worlds are stepped in a pool, and have tests of that.
NAMES = [name for name in envs.names() if env_class(name).in_process and not env_class(name).free_text]


def info_of(infos: dict[str, Any], number: int) -> dict[str, Any]:
    """The info of one world, out of those of all."""
    said = [key for key in Info.__annotations__ if key in infos]
    assert {*Info.__annotations__} - {*said} <= {"is_action_valid"}
    return {key: infos[key][number] for key in said if infos[f"_{key}"][number]}


@pytest.mark.parametrize(("name", "count"), [*((name, 64) for name in NAMES), (CORRIDOR, 5)])
def test_equals_single_worlds(name: str, count: int):
    options = OPTIONS.get(name, {})
    together = envs.vector(name, count, **options)
    alone = [envs.make(name, **options) for _ in range(count)]
    texts, infos = together.reset(seed=7)
    said = [env.reset(seed=7 + number) for number, env in enumerate(alone)]
    assert texts == tuple(text for text, _ in said)
    draw = random.Random(0)
    # Beyond the last turn, so that finished worlds are stepped too.
    for _ in range(OPTIONS.get(name, {}).get("max_turns", 20) + 2):
        actions = [draw.choice([*infos["admissible_commands"][number], "nonsense"]) for number in range(count)]
        texts, rewards, terminated, truncated, infos = together.step(actions)
        answers = [env.step(action) for env, action in zip(alone, actions, strict=True)]
        columns = zip(texts, rewards.tolist(), terminated.tolist(), truncated.tolist(), strict=True)
        assert list(columns) == [answer[:4] for answer in answers]
        assert [info_of(infos, number) for number in range(count)] == [answer[4] for answer in answers]
    assert (terminated | truncated).all()


def test_is_a_vector_environment_without_autoreset():
    together = envs.vector(CORRIDOR, 3, length=1)
    assert isinstance(together, gymnasium.vector.VectorEnv)
    assert together.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert together.num_envs == 3
    together.reset(options={"tasks": ["train-0"] * 3})
    texts, rewards, terminated, truncated, infos = together.step(["go right"] * 3)
    assert (rewards.dtype, terminated.dtype, truncated.dtype, infos["won"].dtype) == (np.float64, bool, bool, bool)
    assert terminated.all()
    again = together.step(["go left"] * 3)
    assert again[0] == texts
    assert again[1].tolist() == [0.0] * 3
    assert again[2].all()
    together.close()


def test_a_task_for_each_world_and_resets_of_some():
    together = envs.vector(CORRIDOR, 3, length=5)
    texts, infos = together.reset(options={"tasks": ["train-0", "train-3", "train-1"]})
    assert texts == ("You are in room 0.", "You are in room 3.", "You are in room 1.")
    assert infos["task"].tolist() == ["train-0", "train-3", "train-1"]
    together.step(["go right"] * 3)
    options = {"reset_mask": np.array([False, True, False]), "tasks": [None, "train-2", None]}
    texts, infos = together.reset(options=options)
    assert texts == ("You are in room 1.", "You are in room 2.", "You are in room 2.")
    assert infos["_task"].tolist() == [False, True, False]
    assert infos["task"][1] == "train-2"
    assert set(options) == {"reset_mask", "tasks"}


def test_seeds_for_each_world():
    together = envs.vector(CORRIDOR, 2, length=50)
    texts, _ = together.reset(seed=[5, 3])
    alone = Corridor(length=50)
    assert texts == (alone.reset(seed=5)[0], alone.reset(seed=3)[0])
    assert together.reset(seed=np.array([5, 3]))[0] == texts
    assert together.reset(seed=np.int64(3))[0] == together.reset(seed=3)[0]
    with pytest.raises(InputError, match="seeds should be whole numbers, got"):
        together.reset(seed=[5, "x"])


@pytest.mark.parametrize("count", [0, -1])
def test_no_worlds_are_refused(count: int):
    with pytest.raises(InputError, match="num_envs should be 1 or more"):
        envs.vector(CORRIDOR, count)


def test_what_make_refuses_is_refused():
    with pytest.raises(InputError, match="Did you mean 'alfworld'"):
        envs.vector("alfwold", 2)
    with pytest.raises(InputError, match="Did you mean 'length'"):
        envs.vector(CORRIDOR, 2, lenght=3)


def test_one_entry_for_each_world():
    together = envs.vector(CORRIDOR, 3)
    for wrong in ({"tasks": ["train-0"]}, {"reset_mask": [True]}):
        with pytest.raises(InputError, match="one entry for each of the 3 worlds, got 1"):
            together.reset(options=wrong)
    with pytest.raises(InputError, match="seed should have one entry"):
        together.reset(seed=[1, 2])
    together.reset(seed=0)
    with pytest.raises(InputError, match="actions should have one entry"):
        together.step(["go right"] * 4)


def test_some_cannot_be_reset_before_all_were():
    together = envs.vector(CORRIDOR, 2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        together.reset(options={"reset_mask": [True, False]})
