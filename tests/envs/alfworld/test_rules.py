"""Every rule and every sentence, in a kitchen made by hand."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.alfworld.dialects import CLASSIC, HELP, PACKAGED, PUBLISHED, Dialect
from envs.alfworld.games import find_games
from envs.alfworld.layout import Layout, spoken_names
from envs.alfworld.oracle import plan
from envs.alfworld.reading import read_game
from envs.alfworld.rules import RULES
from envs.alfworld.world import World
from envs.installation import REPOSITORY
from tests.envs.alfworld.kitchen import kitchen

NOTHING = "Nothing happens."
GOALS = [
    ("pick_and_place_simple", "MugType", "ShelfType"),
    ("pick_and_place_simple", "MugType", "CabinetType"),
    ("look_at_obj_in_light", "AppleType", "DeskLampType"),
    ("pick_clean_then_place_in_recep", "AppleType", "FridgeType"),
    ("pick_heat_then_place_in_recep", "MugType", "CabinetType"),
    ("pick_cool_then_place_in_recep", "AppleType", "CounterTopType"),
    ("pick_two_obj_and_place", "AppleType", "CounterTopType"),
    ("pick_two_obj_and_place", "MugType", "ShelfType"),
]


def world(*played: str, dialect: Dialect = PUBLISHED, goal: tuple[str, str, str] = GOALS[0]) -> World:
    """The kitchen after some commands, all of which did something."""
    made = World(Layout(kitchen(*goal), dialect))
    for command in played:
        assert made.step(command) != NOTHING, command
    return made


def local(made: World) -> list[str]:
    """The admissible commands but for those always there."""
    always = ("go to", "look", "inventory", "help")
    return [command for command in made.admissible_commands() if not command.startswith(always)]


def test_numbers_fall_in_ascending_order_of_id_and_untyped_things_count() -> None:
    layout = Layout(kitchen())
    assert layout.object_names == ("apple 2", "apple 1", "desklamp 1", "knife 1", "mug 3", "mug 2", "mug 1", "spoon 1")
    assert layout.receptacle_names == (
        "cabinet 2",
        "cabinet 1",
        "countertop 1",
        "fridge 1",
        "microwave 1",
        "shelf 1",
        "sidetable 1",
        "sinkbasin 1",
    )


def test_names_of_ids_without_a_bar() -> None:
    assert spoken_names(["curtains", "mug_bar_2", "mug_bar_1"]) == {
        "curtains": "curtains ",
        "mug_bar_1": "mug 2",
        "mug_bar_2": "mug 1",
    }


def test_intro_lists_the_room_and_a_later_look_lists_nothing() -> None:
    made = world()
    assert made.reset() == (
        "-= Welcome to TextWorld, ALFRED! =-\n\n"
        "You are in the middle of a room. Looking quickly around you, you see a cabinet 2, a cabinet 1, a countertop 1,"
        " a fridge 1, a microwave 1, a shelf 1, a sidetable 1, and a sinkbasin 1.\n\n"
        "Your task is to: put a mug on shelf."
    )
    assert made.step("look") == "You are in the middle of a room. Looking quickly around you, you see nothing."


def test_commands_at_the_start() -> None:
    assert world().admissible_commands() == [
        "go to cabinet 1",
        "go to cabinet 2",
        "go to countertop 1",
        "go to fridge 1",
        "go to microwave 1",
        "go to shelf 1",
        "go to sidetable 1",
        "go to sinkbasin 1",
        "help",
        "inventory",
        "look",
    ]


def test_help() -> None:
    assert world().step("help") == HELP
    assert world(dialect=PACKAGED).step("help") == HELP
    assert world(dialect=CLASSIC).step("help") == NOTHING
    assert "help" not in world(dialect=CLASSIC).admissible_commands()


def test_going_tells_what_is_there() -> None:
    made = world()
    assert made.step("go to fridge 1") == "You arrive at fridge 1. The fridge 1 is closed."
    assert made.step("go to cabinet 2") == "You arrive at cabinet 2. The cabinet 2 is open. In it, you see a mug 2."
    assert made.step("go to shelf 1") == "You arrive at shelf 1. On the shelf 1, you see nothing."
    assert made.step("look") == "You are facing the countertop 1, and shelf 1. Next to it, you see nothing."


def test_what_stands_at_the_same_place_cannot_be_gone_to_but_reached() -> None:
    made = world("go to shelf 1")
    assert made.step("go to shelf 1") == NOTHING
    assert made.step("go to countertop 1") == NOTHING
    assert (
        made.step("examine countertop 1") == "On the countertop 1, you see a apple 1, a knife 1, a mug 3, and a mug 2."
    )
    assert made.step("take apple 1 from countertop 1") == "You pick up the apple 1 from the countertop 1."


def test_the_classic_format_arrives_at_locations_and_puts() -> None:
    made = world(dialect=CLASSIC)
    assert made.step("go to shelf 1") == "You arrive at loc 6. On the shelf 1, you see nothing."
    made.step("take mug 3 from countertop 1")
    assert "put mug 3 in/on shelf 1" in made.admissible_commands()
    assert made.step("move mug 3 to shelf 1") == NOTHING
    assert made.step("put mug 3 in/on shelf 1") == "You put the mug 3 in/on the shelf 1."
    assert made.won


def test_doors() -> None:
    made = world("go to fridge 1")
    assert local(made) == ["examine fridge 1", "open fridge 1"]
    assert made.step("close fridge 1") == NOTHING
    assert made.step("open fridge 1") == "You open the fridge 1. The fridge 1 is open. In it, you see a apple 2."
    assert local(made) == ["close fridge 1", "examine fridge 1", "take apple 2 from fridge 1"]
    assert made.step("open fridge 1") == NOTHING
    assert made.step("close fridge 1") == "You close the fridge 1."
    assert made.step("take apple 2 from fridge 1") == NOTHING


def test_hands_hold_one_thing() -> None:
    made = world("go to countertop 1")
    assert made.step("inventory") == "You are not carrying anything."
    made.step("take knife 1 from countertop 1")
    assert made.step("inventory") == "You are carrying: a knife 1."
    assert made.step("take apple 1 from countertop 1") == NOTHING
    assert made.step("take spoon 1 from mug 3") == NOTHING


def test_putting_needs_a_type_that_fits() -> None:
    made = world("go to countertop 1", "take apple 1 from countertop 1")
    assert "move apple 1 to countertop 1" in made.admissible_commands()
    assert made.step("move apple 1 to shelf 1") == NOTHING
    assert made.step("go to fridge 1") != NOTHING
    assert made.step("move apple 1 to fridge 1") == NOTHING
    made.step("open fridge 1")
    assert made.step("move apple 1 to fridge 1") == "You move the apple 1 to the fridge 1."
    assert made.step("examine fridge 1") == "The fridge 1 is open. In it, you see a apple 2, and a apple 1."


def test_a_thing_put_elsewhere_at_the_same_place_is_seen_beside_it() -> None:
    made = world("go to countertop 1", "take mug 3 from countertop 1", "move mug 3 to shelf 1")
    assert made.step("look") == "You are facing the countertop 1, and shelf 1. Next to it, you see a mug 3."
    made.step("take mug 3 from shelf 1")
    made.step("move mug 3 to countertop 1")
    # It is out of the shelf now.
    assert made.step("look").endswith("you see a mug 3.")


def test_a_thing_in_two_receptacles_leaves_only_one() -> None:
    made = world("go to cabinet 2", "take mug 2 from cabinet 2", "go to countertop 1")
    assert "a mug 2" in made.step("examine countertop 1")
    assert made.step("inventory") == "You are carrying: a mug 2."
    assert made.step("move mug 2 to countertop 1") == "You move the mug 2 to the countertop 1."
    assert made.step("examine countertop 1").count("mug 2") == 1


def test_only_what_is_held_can_be_examined() -> None:
    made = world("go to countertop 1")
    assert made.step("examine apple 1") == NOTHING
    made.step("take apple 1 from countertop 1")
    assert made.step("examine apple 1") == "There's nothing special about apple 1."


def test_a_container_tells_what_is_in_it() -> None:
    made = world("go to countertop 1", "take mug 2 from countertop 1")
    assert made.step("examine mug 2") == "This is a normal mug 2. In it, you see a spoon 1."


def test_cleaning_heating_and_cooling() -> None:
    made = world("go to countertop 1", "take apple 1 from countertop 1", "go to sinkbasin 1")
    assert made.step("clean apple 1 with sinkbasin 1") == "You clean the apple 1 using the sinkbasin 1."
    assert made.step("examine apple 1") == "This is a clean apple 1."
    made.step("go to microwave 1")
    assert made.step("heat apple 1 with microwave 1") == "You heat the apple 1 using the microwave 1."
    assert made.step("examine apple 1") == "This is a hot and clean apple 1."
    made.step("go to fridge 1")
    assert made.step("cool apple 1 with fridge 1") == "You cool the apple 1 using the fridge 1."
    assert made.step("examine apple 1") == "This is a cool and clean apple 1."
    assert local(made) == ["cool apple 1 with fridge 1", "examine apple 1", "examine fridge 1", "open fridge 1"]


def test_a_knife_cannot_be_treated_and_nothing_treats_without_hands() -> None:
    assert local(world("go to sinkbasin 1")) == ["examine sinkbasin 1"]
    made = world("go to countertop 1", "take knife 1 from countertop 1", "go to sinkbasin 1")
    assert local(made) == ["examine knife 1", "examine sinkbasin 1"]


def test_one_treatment_alone() -> None:
    made = world("go to countertop 1", "take apple 1 from countertop 1", "go to microwave 1")
    made.step("heat apple 1 with microwave 1")
    assert made.step("examine apple 1") == "This is a hot apple 1."
    made.step("go to fridge 1")
    made.step("cool apple 1 with fridge 1")
    assert made.step("examine apple 1") == "This is a cold apple 1."


def test_slicing_needs_a_knife_and_reaches_into_closed_places() -> None:
    made = world("go to countertop 1", "take knife 1 from countertop 1")
    assert made.step("slice apple 1 with knife 1") == "You sliced the apple 1 with the knife 1."
    made.step("go to fridge 1")
    assert made.step("slice apple 2 with knife 1") == "You sliced the apple 2 with the knife 1."
    assert made.step("slice apple 1 with knife 1") == NOTHING


@pytest.mark.parametrize(
    ("treatments", "said"),
    [
        ("", "This is a sliced apple 1."),
        ("c", "This is a clean sliced apple 1."),
        ("h", "This is a hot sliced apple 1."),
        ("f", "This is a cool sliced apple 1."),
        ("ch", "This is a hot and clean sliced apple 1."),
        ("cf", "This is a cool and clean sliced apple 1."),
    ],
)
def test_what_is_said_of_sliced_things(treatments: str, said: str) -> None:
    made = world("go to countertop 1", "take knife 1 from countertop 1", "slice apple 1 with knife 1")
    for command in ("move knife 1 to countertop 1", "take apple 1 from countertop 1"):
        assert made.step(command) != NOTHING
    commands = {
        "c": ("go to sinkbasin 1", "clean apple 1 with sinkbasin 1"),
        "h": ("go to microwave 1", "heat apple 1 with microwave 1"),
        "f": ("go to fridge 1", "cool apple 1 with fridge 1"),
    }
    for treatment in treatments:
        for command in commands[treatment]:
            assert made.step(command) != NOTHING
    assert made.step("examine apple 1") == said


def test_a_lamp_only_turns_on() -> None:
    made = world("go to sidetable 1")
    assert local(made) == ["examine sidetable 1", "use desklamp 1"]
    for _ in range(2):
        assert made.step("use desklamp 1") == "You turn on the desklamp 1."


@pytest.mark.parametrize(
    "command", ["", "   ", "LOOK", "Look", "look.", "go to  fridge 1", "go to fridge", "take", "\n"]
)
def test_commands_that_are_not_admissible_change_nothing(command: str) -> None:
    made = world("go to countertop 1")
    before = made.state_key(), made.admissible_commands()
    assert made.step(command) == NOTHING
    assert (made.state_key(), made.admissible_commands()) == before


@pytest.mark.parametrize("space", [" {}", "{} ", "\t{}\n", "   {}   "])
def test_space_around_a_command_does_not_count(space: str) -> None:
    made = world("go to countertop 1")
    assert made.step(space.format("take knife 1 from countertop 1")) == "You pick up the knife 1 from the countertop 1."


def test_look_at_in_light_needs_thing_and_lit_lamp_together() -> None:
    made = world("go to countertop 1", "take apple 1 from countertop 1", "go to sidetable 1", goal=GOALS[2])
    assert not made.won
    made.step("use desklamp 1")
    assert made.won
    made.step("go to countertop 1")
    assert not made.won
    made.step("go to sidetable 1")
    assert made.won


def test_two_things_must_lie_in_one_place_and_the_game_goes_on_after_the_win() -> None:
    made = world("go to countertop 1", goal=GOALS[7])
    for command in ("take mug 3 from countertop 1", "move mug 3 to shelf 1", "take mug 2 from countertop 1"):
        made.step(command)
    assert not made.won
    made.step("move mug 2 to shelf 1")
    assert made.won
    made.step("take mug 3 from shelf 1")
    assert not made.won


def test_things_that_cannot_be_treated_do_not_count() -> None:
    # Mug 2 lies in a cabinet from the start but is neither heatable nor hot.
    made = world(goal=GOALS[4])
    assert not made.won
    assert made.layout.object_names[next(iter(made.layout.goal_objects))] == "mug 3"


@pytest.mark.parametrize("goal", GOALS)
def test_the_oracle_wins(goal: tuple[str, str, str]) -> None:
    made = world(goal=goal)
    commands = plan(made.layout)
    assert commands is not None
    assert made.won == (commands == ())
    for command in commands:
        assert command in made.admissible_commands()
        made.step(command)
    assert made.won


def test_no_plan_where_the_goal_is_out_of_reach() -> None:
    assert plan(Layout(kitchen("pick_and_place_simple", "AppleType", "ShelfType"))) is None
    assert plan(Layout(kitchen("pick_two_obj_and_place", "KnifeType", "CounterTopType"))) is None
    assert plan(Layout(kitchen("look_at_obj_in_light", "AppleType", "FloorLampType"))) is None


def walk(made: World, seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    said = []
    for _ in range(count):
        said.append(made.step(draw.choice(made.admissible_commands())))
    return said


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_every_admissible_command_does_something_and_reset_forgets_all(seed: int) -> None:
    made = world(goal=GOALS[seed % len(GOALS)])
    first = made.reset(), made.state_key(), made.admissible_commands()
    assert NOTHING not in walk(made, seed, 40)
    assert (made.reset(), made.state_key(), made.admissible_commands()) == first


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_equal_state_keys_mean_equal_futures(one: int, other: int) -> None:
    """Walks that meet in a state key go on alike."""
    worlds = {}
    for seed in (one, other):
        made = world()
        draw = random.Random(seed)
        for turn in range(60):
            made.step(draw.choice(made.admissible_commands()))
            worlds.setdefault(made.state_key(), []).append((seed, turn))
    for visits in worlds.values():
        futures = set()
        for seed, turn in {visits[0], visits[-1]}:
            made = world()
            walk(made, seed, turn + 1)
            looks = [made.step(command) for command in ("look", "inventory")]
            futures.add((tuple(looks), tuple(made.admissible_commands()), made.won, *walk(made, 7, 10)))
        assert len(futures) == 1


def test_worlds_share_a_layout_without_touching_each_other() -> None:
    layout = Layout(kitchen())
    one, other = World(layout), World(layout)
    before = other.state_key(), other.admissible_commands()
    walk(one, 1, 200)
    assert (other.state_key(), other.admissible_commands()) == before
    assert World(layout).reset() == other.reset()


def test_each_rule_stands_once() -> None:
    assert len({type(rule) for rule in RULES}) == len(RULES) == 15


def test_walkthroughs_and_plans_win_real_games(alfworld_data: Path) -> None:
    """A walkthrough wins exactly at its end, and no plan is longer than it."""
    for split, stride in (("train", 25), ("valid_seen", 2)):
        games = find_games(str(alfworld_data), split)
        assert games is not None
        for name in games.names[::stride]:
            game = read_game(games.path(name))
            layout = Layout(game.problem, game.dialect)
            planned = plan(layout)
            assert planned is not None
            assert len(planned) <= len(game.walkthrough), name
            for commands in (game.walkthrough, planned):
                made = World(layout)
                for command in commands:
                    assert not made.won
                    assert command in made.admissible_commands()
                    made.step(command)
                assert made.won, name


def test_the_verb_that_contributing_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two pieces of code there, put where it says they go."""
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    added, tried = re.findall(r"```python\n(.*?)```", guide.partition("## Adding a verb")[2], re.DOTALL)[:2]
    source = (REPOSITORY / "envs" / "alfworld" / "rules.py").read_text(encoding="utf-8")
    head, table, rest = source.partition("RULES: tuple[Rule, ...] = (\n")
    rules, playing = ModuleType("envs.alfworld.rules"), ModuleType("envs.alfworld.world")
    exec(f"{head}{added}\n\n{table}    ToggleObjectOff(),\n{rest}", rules.__dict__)
    monkeypatch.setitem(sys.modules, "envs.alfworld.rules", rules)
    exec((REPOSITORY / "envs" / "alfworld" / "world.py").read_text(encoding="utf-8"), playing.__dict__)

    def made(*played: str) -> World:
        world = playing.World(Layout(kitchen()))
        return [world, *map(world.step, played)][0]

    test: dict[str, Any] = {"world": made, "NOTHING": NOTHING}
    exec(tried, test)
    test["test_turning_off"]()
    assert "turn off desklamp 1" in made("go to sidetable 1", "use desklamp 1").admissible_commands()
