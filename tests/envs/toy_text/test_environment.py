"""Gymnasium's environments in words: what is said, kept, replayed and refused."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs.contract import CHECKS, Subject, play
from envs.errors import InputError
from envs.toy_text.environment import ToyText

PLAYED = [
    {"id": "FrozenLake-v1", "slippery": False},
    {"map": "8x8"},
    {"map": "random:5"},
    {"map": "random:4", "slippery": False},
    {"id": "Taxi-v4", "max_turns": 40},
    {"id": "Taxi-v4", "options": ("is_rainy=true",), "max_turns": 40},
    {"id": "CliffWalking-v1", "max_turns": 30},
    {"id": "Blackjack-v1"},
    {"id": "tests.envs.toy_text.test_environment:keystone_tests/Dials-v0", "max_turns": 10},
]


class Dials(gymnasium.Env):
    """Two dials: an environment of somebody else's, with a picture, an offset and a mask."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012
    observation_space = spaces.Tuple((spaces.Discrete(3), spaces.MultiDiscrete([3, 3])))
    action_space = spaces.Discrete(2, start=5)

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.dials = [0, int(self.np_random.integers(2))]
        return self.seen(), {"action_mask": np.array([1, 0])}

    def step(self, action):
        assert action in self.action_space
        self.dials[action - 5] += 1
        return self.seen(), float(self.dials[0] == 2), max(self.dials) == 2, False, {}

    def seen(self):
        return (0, np.array(self.dials))

    def render(self):
        return f"\x1b[1m<{self.dials[0]}|{self.dials[1]}>\x1b[0m\n"


if "keystone_tests/Dials-v0" not in gymnasium.registry:
    gymnasium.register("keystone_tests/Dials-v0", entry_point=Dials)


def world(**options) -> ToyText:
    env = envs.make("toy_text", **options)
    assert isinstance(env, ToyText)
    return env


@pytest.mark.parametrize("options", PLAYED, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_the_contract_is_kept(options, check):
    assert CHECKS[check](Subject("toy_text", options, seed=3, num_tasks=3))


def test_the_lake_in_words():
    env = world(slippery=False)
    text, info = env.reset(seed=0)
    assert text == (
        "You are on a frozen lake, at @. Go to the goal G and do not step into a hole H; F is firm ice, S the start."
        " Your commands are left, down, right and up.\n"
        "@ F F F\nF H F H\nF F F H\nH F F G\nYou are at row 1, column 1."
    )
    assert info["admissible_commands"] == ["down", "right"]
    assert env.step("left")[0].startswith("Nothing changes.\n@ F F F")
    env.step("down")
    text, reward, terminated, _, info = env.step("right")
    assert text.endswith("You are at row 2, column 2.\nYou fall into a hole.")
    assert (reward, terminated, info["won"]) == (0.0, True, False)


def test_the_taxi_in_words():
    env = world(id="Taxi")
    text, info = env.reset(seed=1)
    assert "|R: | : :G|" in text
    assert "\x1b" not in text
    row, column, passenger, destination = env.inner.unwrapped.decode(env.observation)
    assert f"The taxi is at row {row + 1}, column {column + 1}. The passenger waits at" in text
    assert passenger != destination
    assert "drop off" not in info["admissible_commands"]
    assert env.step("drop off")[1] == -10


def test_the_cliff_in_words():
    env = world(id="CliffWalking")
    assert "@ C C C C C C C C C C G" in env.reset(seed=0)[0]
    text, reward, *_ = env.step("right")
    assert reward == -100
    assert "row 4, column 1" in text


def test_cards_in_words():
    env = world(id="Blackjack")
    env.reset(seed=0)
    assert f"Your cards are worth {env.observation[0]}, with" in env.step("nonsense")[0]
    text, reward, terminated, _, info = env.step("stick")
    assert terminated
    assert info["won"] == (reward > 0)
    assert text.endswith({1.0: "You win.", -1.0: "You lose.", 0.0: "Nobody wins."}[reward])


def test_an_unknown_environment_is_told_by_numbers_and_its_picture():
    env = world(id="tests.envs.toy_text.test_environment:keystone_tests/Dials-v0")
    text, info = env.reset(seed=0)
    dial = env.observation[1][1]
    assert text.endswith(f"Your commands are action 5, action 6.\n<0|{dial}>\nObservation: 0, 0, {dial}.")
    assert info["admissible_commands"] == ["action 5"]
    assert set(env.players) == {"random"}
    env.step("action 5")
    assert env.step("ACTION  5")[1:3] == (1.0, True)


@settings(max_examples=30, deadline=None)
@given(
    number=st.integers(0, 10**9), commands=st.lists(st.sampled_from(["left", "down", "right", "up", "?"]), max_size=30)
)
def test_chance_belongs_to_the_task(number, commands):
    task = f"FrozenLake-v1/map=random:4/train/{number}"
    told = []
    for env in (world(map="random:4"), world(map="random:4", split="test")):
        told.append([env.reset(options={"task": task}), *map(env.step, commands)])
    assert told[0] == told[1]


@pytest.mark.parametrize("options", [{"id": "Taxi-v4"}, {"map": "random:4", "slippery": False}], ids=str)
def test_splits_start_differently_where_nothing_is_random(options):
    starts = []
    for split in ("train", "valid", "test"):
        env = world(split=split, **options)
        starts.append({env.reset(options={"task": task})[1]["anchor"] for task in env.sample_tasks(0, 60)})
    assert not starts[0] & starts[1]
    assert not starts[0] & starts[2]
    assert not starts[1] & starts[2]


@pytest.mark.parametrize(
    ("options", "player"),
    [
        ({"slippery": False}, "oracle"),
        ({}, "expert"),
        ({"id": "Taxi-v4"}, "oracle"),
        ({"id": "Taxi-v4", "options": ("is_rainy=true",)}, "expert"),
        ({"id": "Taxi-v4", "options": ("fickle_passenger=true",)}, "oracle"),
        ({"id": "CliffWalking-v1"}, "oracle"),
        ({"id": "Blackjack-v1"}, "expert"),
    ],
)
def test_only_a_sure_winner_is_called_oracle(options, player):
    env = world(**options)
    assert set(env.players) == {"random", player}
    wins = [play(env, task, player, 0)[1][-1][4]["won"] for task in env.sample_tasks(0, 20)]
    assert all(wins) if player == "oracle" else any(wins)


def test_what_does_not_differ_is_said():
    assert "all tasks start alike" in world(id="CliffWalking-v1").describe_data()
    assert "tasks differ in their start" in world(id="Taxi-v4").describe_data()
    assert "differ in their random outcomes" in world(id="Blackjack-v1").describe_data()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"id": "FrozenLak-v1"}, "Did you mean 'FrozenLake-v1'"),
        ({"id": "Taxi-v3"}, "Did you mean 'Taxi-v4'"),
        ({"id": "CartPole-v1"}, r"observations Box.* toy_text plays Discrete"),
        ({"id": "no_such_module:Zork-v0"}, "no_such_module"),
        ({"map": "9x9"}, "map should be 4x4 or 8x8, or random:N"),
        ({"map": "random:99"}, "N from 2 to 20"),
        ({"id": "Taxi-v4", "map": "4x4"}, "gymnasium.make refuses 'Taxi-v4' with map_name='4x4'"),
        ({"options": ("slippery",)}, "is written NAME=VALUE"),
        ({"options": ("success_rat=0.5",)}, "success_rat"),
        ({"split": "tests"}, "Did you mean 'test'"),
        ({"max_turns": 0}, "max_turns should be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        world(**options)


@pytest.mark.parametrize(
    "task", ["", "FrozenLake-v1/train", "FrozenLake-v1/tran/0", "FrozenLake-v1/train/x", "Taxi-v4/train/0"]
)
def test_unknown_tasks_are_refused(task: str):
    with pytest.raises(InputError, match="are named like 'FrozenLake-v1/train/0'"):
        world().reset(options={"task": task})
