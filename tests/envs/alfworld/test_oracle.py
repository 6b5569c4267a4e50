"""Shortest plans from any state, and the player that follows them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.policies.scripted import ScriptedPolicy
from agents.rollout import rollout
from agents.types import EpisodeKey
from envs.alfworld import oracle
from envs.alfworld.dialects import CLASSIC, PACKAGED
from envs.alfworld.difficulty import Difficulty
from envs.alfworld.environment import ALFWorld
from envs.alfworld.generator import generate
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan, plan_from
from envs.alfworld.problem import Goal, Problem, Receptacle, Thing
from envs.alfworld.world import World
from envs.errors import InputError
from tests.envs.alfworld.kitchen import kitchen
from tests.envs.alfworld.test_rules import GOALS
from tests.training.demonstrating import demonstrate
from training.demonstrations import Noise


def led_astray(layout: Layout, seed: int, count: int) -> list[str]:
    """Random commands, near ones preferred to going elsewhere."""
    world, draw, played = World(layout), random.Random(seed), []
    for _ in range(count):
        commands = world.admissible_commands()
        near = [command for command in commands if not command.startswith("go to")]
        played.append(draw.choice(draw.choice([near, commands])))
        world.step(played[-1])
    return played


def after(layout: Layout, played: list[str]) -> World:
    world = World(layout)
    for command in played:
        world.step(command)
    return world


def check_shortest(layout: Layout, played: list[str]) -> None:
    """A plan wins at its end, and no command leads to a state from which more than one turn less is needed.

    If that holds in every state, no plan can be shorter: each command lessens the rest by one at most, and it is
    nothing only where the goal holds.
    """
    world = after(layout, played)
    planned = plan_from(world.state)
    for command in world.admissible_commands():
        further = plan_from(after(layout, [*played, command]).state)
        if planned is None:
            assert further is None, command
        elif further is not None:
            assert len(further) >= len(planned) - 1, command
    if planned is not None:
        assert (planned == ()) == world.won
        for command in planned:
            assert not world.won
            assert command in world.admissible_commands()
            world.step(command)
        assert world.won


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(GOALS), st.integers(0, 10_000), st.integers(0, 25))
def test_no_plan_is_shorter_in_the_kitchen(goal: tuple[str, str, str], seed: int, count: int) -> None:
    layout = Layout(kitchen(*goal))
    check_shortest(layout, led_astray(layout, seed, count))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 30), st.sampled_from([Difficulty(), Difficulty(receptacles=0.2)]))
def test_no_plan_is_shorter_in_generated_games(index: int, count: int, difficulty: Difficulty) -> None:
    layout = Layout(generate("train", index, difficulty), PACKAGED)
    check_shortest(layout, led_astray(layout, index, count))


def test_plans_leave_the_state_as_it_is() -> None:
    layout = Layout(generate("train", 4), CLASSIC)
    world = after(layout, led_astray(layout, 1, 10))
    key = world.state_key()
    assert plan_from(world.state) == plan_from(world.state)
    assert world.state_key() == key


def test_a_game_with_too_many_ways_is_refused_rather_than_planned_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "_MOST_WAYS", 2_000)
    count = 60
    places = tuple(Receptacle(f"Desk_bar_{n}", "DeskType", f"loc_bar_{n}") for n in range(count))
    things = tuple(
        Thing(f"Pen_bar_{n}", "PenType", f"loc_bar_{n}", (f"Desk_bar_{n}",), frozenset({"pickupable"}))
        for n in range(count)
    )
    goal = Goal("pick_two_obj_and_place", "PenType", "DeskType")
    fits = frozenset({("DeskType", "PenType")})
    problem = Problem("x" * 200, "loc_bar_start", places, things, fits, goal, "put two pen in desk.")
    with pytest.raises(InputError, match="too many ways") as caught:
        plan(Layout(problem))
    assert len(str(caught.value)) < 300


def won_within(env: ALFWorld, task: str, turns: int, disturb: Callable[[int], bool] = lambda turn: False) -> bool:
    text, info = env.reset(options={"task": task})
    player, draw = env.players["planner"](env, 0), random.Random(task)
    for turn in range(turns):
        command = player.act(text, info)
        text, _, _, _, info = env.step(draw.choice(info["admissible_commands"]) if disturb(turn) else command)
        if info["won"]:
            return True
    return False


def test_the_planner_plays_the_shortest_plan() -> None:
    env = ALFWorld(data="generated", split="valid_unseen")
    for task in env.sample_tasks(0, 20):
        env.reset(options={"task": task})
        planned = env.plan()
        assert planned is not None
        assert len(planned) == len(env.solution())
        assert won_within(env, task, len(planned))
        assert env.plan() == ()


def test_the_planner_recovers_when_other_commands_are_played() -> None:
    env = ALFWorld(data="generated", clutter=2)
    tasks = env.sample_tasks(1, 40)
    assert all(won_within(env, task, 50, lambda turn: turn % 4 == 0) for task in tasks)


def test_where_nothing_can_be_done_the_planner_looks() -> None:
    stuck = Problem(
        "stuck",
        "loc_bar_1",
        (Receptacle("Desk_bar_1", "DeskType", "loc_bar_2"),),
        (Thing("Pen_bar_1", "PenType", "loc_bar_2", ("Desk_bar_1",), frozenset({"pickupable"})),),
        frozenset(),
        Goal("pick_and_place_simple", "MugType", "DeskType"),
        "put a mug in desk.",
    )
    assert plan(Layout(stuck)) is None
    env = ALFWorld(data="generated")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.plan()
    text, info = env.reset(seed=0)
    env._world = World(Layout(stuck))
    assert env.players["planner"](env, 0).act(text, info) == "look"


def test_the_planner_is_a_policy_and_demonstrates() -> None:
    env = ALFWorld(data="generated")
    tasks = env.sample_tasks(2, 6)
    keys = [EpisodeKey(0, 0, task, 0) for task in tasks]
    played = rollout(lambda: ALFWorld(data="generated"), ScriptedPolicy("planner"), keys)
    assert all(episode.won for episode in played)
    lengths = []
    for number, task in enumerate(tasks):
        steps = demonstrate(env, "planner", task, number, Noise(burst_probability=0.3))
        lengths.append((len(steps), sum(not step.labelled for step in steps)))
        assert env.step("look")[4]["won"]
    assert any(noise for _, noise in lengths)


def test_the_planner_says_whom_it_can_play_for() -> None:
    class Stock:
        """Stands for the stock engine's world."""

    class Other(gymnasium.Env[str, str]):
        pass

    env: Any = ALFWorld(data="generated")
    env.reset(seed=0)
    env._world = Stock()
    with pytest.raises(InputError, match="engine=native"):
        env.plan()
    with pytest.raises(InputError, match="ALFWorld only"):
        env.players["planner"](Other(), 0)
