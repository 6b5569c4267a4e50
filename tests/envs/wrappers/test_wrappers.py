"""Wrapped worlds keep the contract, and each wrapper does what it says."""

from __future__ import annotations

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs import registry
from envs.contract import CHECKS, Subject, play
from envs.errors import InputError
from envs.types import TextEnv
from envs.wrappers import (
    ActionParsing,
    AdmissibleList,
    HistoryWindow,
    RewardShaping,
    TimeLimit,
    Wrapper,
    command_in,
    potential_based,
)
from tests.envs.corridor import Corridor, CorridorConfig
from tests.envs.wrappers import around

CLASS = f"{__name__}:Stored"


@pytest.mark.parametrize("name", around.NAMES)
def test_the_contract_is_kept(name: str):
    subject = Subject(f"{around.__name__}:{name}", seed=3, num_tasks=3)
    assert all(check(subject) for rule, check in CHECKS.items() if rule != "processes")


def test_another_process_plays_the_same():
    assert CHECKS["processes"](Subject(f"{around.__name__}:Everything", num_tasks=2))


def test_the_contract_is_kept_around_a_large_world():
    subject = Subject("tests.envs.wrappers.test_wrappers:House", num_tasks=2)
    assert all(CHECKS[rule](subject) for rule in ("tasks", "commands", "episodes", "players", "spaces"))


@around.wrapped("alfworld")
def House(env: envs.TextEnv) -> envs.TextEnv:
    """ALFWorld, its commands and the last turns in the text."""
    return TimeLimit(HistoryWindow(AdmissibleList(env), 3), 30)


def test_a_wrapped_world_has_a_name_like_any_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_registered", {})
    envs.register("short_corridor", f"{around.__name__}:Short")
    try:
        env = envs.make("short_corridor", length=9)
        assert envs.config_class("short_corridor") is CorridorConfig
        assert isinstance(env.unwrapped, Corridor)
        assert env.unwrapped.config.length == 9
        assert type(env).__doc__ == "A corridor of few turns."
        assert env.describe_data() == "Corridor; TimeLimit"
    finally:
        del gymnasium.registry["keystone/Short-v0"]


def test_what_a_world_says_of_itself_is_said_by_its_wrappers():
    everything = envs.make(f"{around.__name__}:Everything")
    for world in (everything, type(everything), Wrapper(everything)):
        assert world.free_text
        assert world.instructions == Corridor.instructions
        assert world.config_class is CorridorConfig


class Stored(Corridor):
    """A corridor that says of itself, member by member, something else than `TextEnv` does."""

    free_text = True
    in_process = False
    instructions = "Walk."
    cloned = ("random", "oracle")
    reference_options = {"length": 3}  # noqa: RUF012
    step_parts = {"*": "walking"}  # noqa: RUF012
    observation_space = action_space = envs.types.AnyText(77)

    def content_of(self, task: str) -> str:
        return f"behind {task}"


PLAYED = {"reset", "step", "describe_data", "players"}
SAID = sorted(name for name in {*vars(TextEnv), *TextEnv.__annotations__} - PLAYED if not name.startswith("_"))


@pytest.mark.parametrize("name", SAID)
def test_every_member_is_that_of_the_world_inside(name: str):
    calls = {"sample_tasks": (3, 4), "content_of": ("train-3",)}
    inside = Stored()
    outside = [TimeLimit(inside, 3), HistoryWindow(Wrapper(inside), 2), around.wrapped(CLASS)(Wrapper)()]
    expected = getattr(inside, name)(*calls[name]) if name in calls else getattr(inside, name)
    plain = getattr(TextEnv, name, None)
    assert name in calls or expected != plain, "a world that says what TextEnv says tells nothing"
    # The windows of this wrapper make longer texts.
    for world in outside if name != "observation_space" else outside[::2]:
        found = getattr(world, name)
        assert (found(*calls[name]) if name in calls else found) == expected
    if plain is not None and not callable(plain) and not isinstance(plain, property):
        assert getattr(type(outside[-1]), name) == expected


def test_players_are_those_of_the_world_inside():
    for world in (TimeLimit(Stored(), 3), around.wrapped(CLASS)(Wrapper)()):
        assert [*world.players] == [*Stored.players]


def test_a_time_limit():
    env = TimeLimit(Corridor(length=9), 2)
    env.reset(options={"task": "train-0"})
    assert env.step("go right")[2:4] == (False, False)
    answer = env.step("go right")
    assert answer[2:4] == (False, True)
    assert env.step("go right") == answer
    env.reset(options={"task": "train-8"})
    assert env.step("go right")[1:4] == (1.0, True, False)
    env.reset(options={"task": "train-7"})
    env.step("go right")
    assert env.step("go right")[1:4] == (1.0, True, False)
    with pytest.raises(InputError, match="1 turn or more, got 0"):
        TimeLimit(env, 0)


@pytest.mark.parametrize(
    "action",
    [
        "go right",
        " Go  RIGHT.\n",
        '"go right"',
        "I could <action>go left</action>, but rather <ACTION>\nGo right </action>",
    ],
)
def test_actions_are_read_generously(action: str):
    env = ActionParsing(Corridor())
    env.reset(options={"task": "train-0"})
    assert env.step(action)[0] == "You are in room 1."


@settings(deadline=None)
@given(st.lists(st.text("go rightlf<action>/.\"' ", max_size=20), max_size=5))
def test_tidy_admissible_commands_are_read_as_they_are(commands: list[str]):
    tidy = [command for command in commands if command_in(command, {"admissible_commands": []}) == command]
    for command in tidy:
        assert command_in(command, {"admissible_commands": tidy}) == command


def test_an_own_parser():
    env = ActionParsing(Corridor(), lambda action, info: info["admissible_commands"][int(action)])
    env.reset(options={"task": "train-1"})
    assert env.step("1")[0] == "You are in room 2."


def test_commands_are_listed_while_the_episode_goes_on():
    env = AdmissibleList(Corridor(length=2))
    assert env.reset(options={"task": "train-0"})[0] == "You are in room 0.\n\nAdmissible commands: go right"
    assert env.step("go right")[0] == "You are in room 1.\n\nAdmissible commands: go left, go right"
    assert env.step("go right")[0] == "You are in room 2."


def test_a_window_of_history():
    env = HistoryWindow(Corridor(length=9), 2)
    assert env.reset(options={"task": "train-0"})[0] == "You are in room 0."
    assert env.step("go right")[0] == "You are in room 0.\n\n> go right\n\nYou are in room 1."
    env.step("sing")
    shown = "You are in room 1.\n\n> sing\n\nNothing happens.\n\n> go right\n\nYou are in room 2."
    assert env.step("go right")[0] == shown
    assert env.reset(options={"task": "train-0"})[0] == "You are in room 0."
    with pytest.raises(InputError, match="1 turn or more, got 0"):
        HistoryWindow(env, 0)


def test_rewards_are_shaped():
    env = RewardShaping(Corridor(length=1), around.costly)
    env.reset(options={"task": "train-0"})
    assert env.step("sing")[1] == pytest.approx(-0.1)
    assert env.step("go right")[1] == pytest.approx(0.9)
    assert env.step("go right")[1] == 0.0


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(0.5, 1.0))
def test_potentials_change_every_return_of_a_task_alike(seed: int, discount: float):
    plain, shaped = Corridor(), RewardShaping(Corridor(), potential_based(around.nearness, discount))
    start = 2
    for player in ("random", "oracle"):
        returns = []
        for env in (plain, shaped):
            _, said = play(env, f"train-{start}", player, seed)
            returns.append(sum(discount**turn * answer[1] for turn, answer in enumerate(said)))
        assert returns[1] == pytest.approx(returns[0] - start)


def test_players_hear_the_world_inside():
    class Literal(Corridor):
        players = {"strict": lambda env, seed: Strict()}  # noqa: RUF012

    class Strict:
        def act(self, text: str, info: envs.Info) -> str:
            assert text.startswith("You are in room")
            assert text.count("\n") == 0
            return "go right"

    env = HistoryWindow(AdmissibleList(Literal()), 5)
    _, said = play(env, "train-0", "strict", 0)
    assert said[-1][4]["won"]
    with pytest.raises(InputError, match="wrapped worlds only"):
        env.players["strict"](Corridor(), 0)


def test_a_step_before_a_reset():
    with pytest.raises(gymnasium.error.ResetNeeded):
        Wrapper(Corridor()).step("go right")
