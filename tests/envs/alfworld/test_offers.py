"""What a world keeps from step to step against the same worked out anew: every rule asked, the game played again."""

from __future__ import annotations

from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st

from envs.alfworld.dialects import CLASSIC, PACKAGED
from envs.alfworld.generator import generate
from envs.alfworld.layout import Layout
from envs.alfworld.rules import RULES
from envs.alfworld.world import World
from tests.envs.alfworld.kitchen import kitchen

NONSENSE = ("", "look around", "go to", "LOOK", "take nothing 1 from nowhere 1")


@lru_cache(maxsize=64)
def layout(number: int) -> Layout:
    """The kitchen made by hand, or a generated room; half of them worded as in format 2.1.1."""
    if number < 2:
        game = kitchen("pick_two_obj_and_place", "MugType", "CounterTopType")
    else:
        game = generate("unseen" if number % 3 else "train", number)
    return Layout(game, CLASSIC if number % 2 else PACKAGED)


def choose(world: World, number: int) -> str:
    """A command: nonsense now and then, local ones more often than ways, some with space around them."""
    if number % 13 == 0:
        return NONSENSE[number // 13 % len(NONSENSE)]
    commands = world.admissible_commands()
    near = [command for command in commands if not command.startswith("go to")]
    chosen = near if number % 3 else commands
    return f" {chosen[number // 3 % len(chosen)]}\t" if number % 7 == 0 else chosen[number // 3 % len(chosen)]


@settings(deadline=None, max_examples=60)
@given(number=st.integers(0, 40), choices=st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_every_step_is_as_in_a_game_played_again(number: int, choices: list[int]) -> None:
    world, used = World(layout(number)), World(layout(number))
    played: list[str] = []
    said: list[str] = []
    for choice in choices:
        played.append(choose(world, choice))
        said.append(world.step(played[-1]))
        offered = sorted(command for rule in RULES for command in rule.offers(world.state))
        assert world.admissible_commands() == offered
        fresh = World(layout(number))
        # One that was played before and reset must be as good as a new one.
        used.reset()
        for again in (fresh, used):
            assert [again.step(command) for command in played] == said
            assert again.admissible_commands() == offered
            assert (again.state_key(), again.won) == (world.state_key(), world.won)


@settings(deadline=None, max_examples=30)
@given(number=st.integers(0, 40), choices=st.lists(st.integers(0, 10**6), max_size=30))
def test_what_a_caller_does_to_its_list_of_commands_is_its_own(number: int, choices: list[int]) -> None:
    world = World(layout(number))
    for choice in choices:
        world.step(choose(world, choice))
    before = world.admissible_commands()
    world.admissible_commands().clear()
    assert world.admissible_commands() == before
