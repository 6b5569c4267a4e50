"""Options of generated games: what each changes, what it leaves, and that a task's name carries it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs.alfworld.dialects import PACKAGED
from envs.alfworld.difficulty import AS_REAL, Difficulty, read_label
from envs.alfworld.difficulty_table import LEVELS, Row, TableConfig, measure, show
from envs.alfworld.environment import ALFWorld, ALFWorldConfig
from envs.alfworld.generator import generate
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.problem import Problem
from envs.alfworld.sentences import SENTENCES
from envs.alfworld.world import World
from envs.config import load
from envs.errors import InputError
from tests.envs.alfworld import tiny

splits = st.sampled_from(["train", "unseen"])
indices = st.integers(0, 2**33)
difficulties = st.builds(
    Difficulty,
    task_types=st.lists(st.sampled_from(sorted(SENTENCES)), max_size=6).map(tuple),
    clutter=st.sampled_from([0.0, 0.5, 1.0, 1.75, 4.0]),
    receptacles=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    distractors=st.sampled_from([0, 1, 7]),
)
some_games = settings(max_examples=60, deadline=None)


def movable(problem: Problem) -> Counter[str]:
    """Movable objects that are not asked for, by type."""
    return Counter(
        thing.type
        for thing in problem.things
        if "pickupable" in thing.traits and thing.type != problem.goal.object_type
    )


@some_games
@given(splits, indices, difficulties)
def test_every_game_can_be_won_and_is_not_won_at_the_start(split: str, index: int, difficulty: Difficulty) -> None:
    problem = generate(split, index, difficulty)
    assert problem == generate(split, index, difficulty)
    assert problem.goal.task_type in (difficulty.task_types or SENTENCES)
    world = World(Layout(problem, PACKAGED))
    assert not world.won
    commands = plan(world.layout)
    assert commands
    for command in commands:
        assert command in world.admissible_commands()
        world.step(command)
    assert world.won


@some_games
@given(splits, indices, difficulties)
def test_facts_are_consistent(split: str, index: int, difficulty: Difficulty) -> None:
    problem = generate(split, index, difficulty)
    locations = {receptacle.id: receptacle.location for receptacle in problem.receptacles}
    ids = [*locations, *(thing.id for thing in problem.things)]
    assert len({id.lower() for id in ids}) == len(ids)
    assert problem.start not in locations.values()
    by_id = {thing.id: thing for thing in problem.things}
    types = {thing.type for thing in problem.things}
    assert {inner for _, inner in problem.can_contain} <= types
    assert {place for place, _ in problem.can_contain} <= {receptacle.type for receptacle in problem.receptacles}
    for thing in problem.things:
        assert set(thing.receptacles) <= locations.keys()
        assert not thing.receptacles or thing.location == locations[thing.receptacles[0]]
        assert all(by_id[inner].receptacles == thing.receptacles for inner in thing.contains)


@some_games
@given(splits, indices, st.sampled_from([1.5, 2.0, 5.0]), st.integers(1, 20))
def test_more_clutter_and_distractors_only_add(split: str, index: int, clutter: float, distractors: int) -> None:
    """The same game with further objects in it; options do not shift one another's draws."""
    base = generate(split, index)
    cluttered = generate(split, index, Difficulty(clutter=clutter))
    distracting = generate(split, index, Difficulty(distractors=distractors))
    both = generate(split, index, Difficulty(clutter=clutter, distractors=distractors))
    for harder in (cluttered, distracting, both):
        assert (harder.goal, harder.sentence, harder.start) == (base.goal, base.sentence, base.start)
        assert harder.receptacles == base.receptacles
    assert set(base.things) <= set(cluttered.things) <= set(both.things)
    assert set(base.things) <= set(distracting.things)
    for kind, number in movable(base).items():
        assert number * clutter - 1 < movable(cluttered)[kind] < number * clutter + 1
    assert movable(cluttered).keys() == movable(base).keys()
    assert len(distracting.things) == len(base.things) + distractors
    further = set(distracting.things) - set(base.things)
    assert all("pickupable" in thing.traits and thing.receptacles for thing in further)
    assert base.goal.object_type not in {thing.type for thing in further}


def test_distractors_could_be_brought_and_treated_like_what_is_asked_for() -> None:
    trait = {"clean": "cleanable", "heat": "heatable", "cool": "coolable"}
    fitting = total = 0
    for index in range(120):
        base, harder = generate("train", index), generate("train", index, Difficulty(distractors=5))
        treatment = trait.get(base.goal.task_type.split("_")[1])
        for thing in set(harder.things) - set(base.things):
            total += 1
            can_go = (base.goal.target_type, thing.type) in harder.can_contain or "look" in base.goal.task_type
            fitting += can_go and (treatment is None or treatment in thing.traits)
    # A few asked-for objects, such as hand towels, lie where nothing else may.
    assert fitting > 0.9 * total


@some_games
@given(splits, indices)
def test_no_clutter_leaves_what_the_task_needs(split: str, index: int) -> None:
    base, bare = generate(split, index), generate(split, index, Difficulty(clutter=0))
    assert not movable(bare)
    assert set(bare.things) < {*base.things, *(thing._replace(contains=()) for thing in base.things)}
    asked = [thing for thing in base.things if thing.type == base.goal.object_type]
    assert len([thing for thing in bare.things if thing.type == base.goal.object_type]) == len(asked)


@some_games
@given(splits, indices, st.sampled_from([0.0, 0.2, 0.6, 0.9]))
def test_fewer_receptacles_keep_the_objects_and_the_task(split: str, index: int, share: float) -> None:
    base, smaller = generate(split, index), generate(split, index, Difficulty(receptacles=share))
    assert set(smaller.receptacles) <= set(base.receptacles)
    wanted = round(share * len(base.receptacles))
    assert wanted <= len(smaller.receptacles) <= max(wanted, 8)
    assert Counter(thing.type for thing in smaller.things) == Counter(thing.type for thing in base.things)
    assert (smaller.goal, smaller.sentence, smaller.start) == (base.goal, base.sentence, base.start)


def test_task_types_keep_their_real_mix_among_them() -> None:
    chosen = ("pick_heat_then_place_in_recep", "pick_two_obj_and_place")
    counted = Counter(generate("train", n, Difficulty(task_types=chosen)).goal.task_type for n in range(200))
    assert set(counted) == set(chosen)
    assert counted["pick_two_obj_and_place"] / 200 == pytest.approx(813 / (813 + 459), abs=0.03)


@some_games
@given(difficulties)
def test_labels_are_read_back_and_are_the_only_way_to_write_the_options(difficulty: Difficulty) -> None:
    if difficulty == AS_REAL:
        assert difficulty.label == ""
        return
    assert read_label(difficulty.label) == difficulty
    assert not set(difficulty.label) & set("/#\\ \0")
    for other in (f"{difficulty.label},", difficulty.label.upper(), f"distractors=0,{difficulty.label}"):
        with pytest.raises(InputError):
            read_label(other)


def test_equal_options_have_equal_names() -> None:
    assert Difficulty(clutter=2).label == Difficulty(clutter=2.0).label == "clutter=2"
    names = list(SENTENCES)
    assert Difficulty(task_types=tuple(names)) == Difficulty(task_types=tuple(reversed(names))) == AS_REAL
    assert Difficulty(task_types=(names[3], names[0], names[3])).label == f"task_types={names[0]}+{names[3]}"
    assert Difficulty(task_types=names[2]).task_types == (names[2],)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"clutter": 2.5}, {"receptacles": 0.3, "distractors": 9}, {}])
def test_a_name_brings_the_game_back_whatever_the_options_are(options: dict[str, Any]) -> None:
    made = envs.make("alfworld", data="generated", split="valid_unseen", **options)
    other = envs.make("alfworld", data="generated", split="train", clutter=4, task_types=("look_at_obj_in_light",))
    tasks = made.sample_tasks(3, 5)
    assert made.sample_tasks(3, 9)[:5] == tasks
    for task in tasks:
        text, info = made.reset(options={"task": task})
        assert other.reset(options={"task": task}) == (text, info)
        assert all(f"{name}={value:g}" in task for name, value in options.items())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task_types": ("pick_and_place",)}, "Did you mean 'pick_and_place_simple'"),
        ({"task_types": "x" * 10_000}, r"unknown task type 'x+\.\.\.'"),
        ({"clutter": -1}, "from 0 to 10"),
        ({"clutter": float("nan")}, "from 0 to 10"),
        ({"receptacles": 1.5}, "from 0 to 1"),
        ({"distractors": 101}, "from 0 to 100"),
        ({"distractors": 2.5}, "whole number"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        ALFWorld(data="generated", **options)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "name",
    [
        "generated/train/clutter=2.0/5",
        "generated/train/distractors=2,clutter=2/5",
        "generated/train/clutter=1/5",
        "generated/train/clutter=x/5",
        "generated/train/speed=2/5",
        "generated/train//5",
        "generated/train/clutter=2/5/6",
        "generated/train/clutter=2/05",
        "generated/train/clutter=1e999/5",
        f"generated/train/clutter={'9' * 10_000}/5",
        f"generated/train/distractors={'9' * 10_000}/5",
        f"generated/train/{'9' * 10_000}",
        f"generated/{'x' * 10_000}/5",
    ],
)
def test_names_with_malformed_options_are_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        ALFWorld(data="generated").reset(options={"task": name})
    assert len(str(caught.value)) < 600


@pytest.mark.usefixtures("tiny_known", "own_cache")
def test_real_games_take_no_such_option(tmp_path: Path) -> None:
    tiny.write(tmp_path / "json_2.1.1" / "train" / "pick_and_place_simple-Mug-None-Desk-308" / "trial_0")
    for options in ({"clutter": 2}, {"task_types": ("look_at_obj_in_light",)}):
        with pytest.raises(InputError, match=r"is for generated games.*data=generated"):
            ALFWorld(data=str(tmp_path), **options)


def test_the_command_line_takes_one_task_type_or_a_list() -> None:
    one = load(ALFWorldConfig, ["task_types=look_at_obj_in_light"])
    more = load(ALFWorldConfig, ["task_types=[pick_two_obj_and_place,look_at_obj_in_light]", "clutter=2"])
    assert tuple(one.task_types) == ("look_at_obj_in_light",)
    assert more.label == "task_types=look_at_obj_in_light+pick_two_obj_and_place,clutter=2"
    with pytest.raises(InputError, match="task type 'look'"):
        load(ALFWorldConfig, ["task_types=look"])


_STREAM = """
import sys
from envs.alfworld.environment import ALFWorld
def guard(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise OSError(f"opened {arguments[0]} to write")
    if event in ("os.mkdir", "os.rename", "os.remove", "subprocess.Popen", "socket.connect"):
        raise OSError(event)
sys.addaudithook(guard)
env = ALFWorld(data="generated", clutter=2, distractors=3)
for task in env.sample_tasks(0, 20):
    text, info = env.reset(options={"task": task})
    player = env.players["planner"](env, 0)
    while not info["won"]:
        text, _, _, _, info = env.step(player.act(text, info))
print("streamed")
"""


def test_games_are_streamed_without_touching_the_disk(tmp_path: Path) -> None:
    environment = {**os.environ, "KEYSTONE_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, "-c", _STREAM], env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "streamed\n", ran.stderr
    assert not list(tmp_path.iterdir())


def test_harder_options_are_harder() -> None:
    """The figures of the table, over few games: what options promise holds in the mean."""
    config = TableConfig(games=40, random_turns=150)
    rows = {
        level.label: measure(level, config)
        for level in (AS_REAL, Difficulty(clutter=4), Difficulty(receptacles=0.25), Difficulty(distractors=20))
    }
    real = rows[""]
    cluttered, small, distracting = (rows[label] for label in ("clutter=4", "receptacles=0.25", "distractors=20"))
    assert real.label == "as real"
    assert len({level.label for level in LEVELS}) == len(LEVELS) >= 10
    assert small.receptacles < 0.35 * real.receptacles
    assert small.expert_turns < real.expert_turns
    assert small.random_success > real.random_success
    assert cluttered.words > 1.2 * real.words
    assert cluttered.commands > real.commands
    assert distracting.words > real.words
    assert mean(row.expert_success for row in rows.values()) > 0.95
    assert all(row.oracle_turns == pytest.approx(real.oracle_turns, abs=0.3) for row in rows.values())


def test_a_narrow_terminal_loses_no_figure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "80")
    label = "task_types=pick_clean_then_place_in_recep"
    show([Row(label, 123.4, 234.5, 10.1, 11.2, 0.99, 0.123, 345, 456)], TableConfig())
    said = capsys.readouterr().out
    headings, figures = "options receptacles objects words commands", "123.4 234.5 10.1 11.2 99.0% 12.3% 345 456"
    assert [word for word in [*headings.split(), *figures.split(), label] if word not in said] == []
