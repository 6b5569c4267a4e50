"""The native engine beside the stock one, command by command, on real games of both splits and on generated ones."""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.alfworld.dialects import CLASSIC
from envs.alfworld.environment import ALFWorld
from envs.alfworld.games import TASK_TYPES, find_games
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.reading import read_game
from envs.alfworld.reference import ReferenceWorld, remembering
from envs.alfworld.world import World

COUNTS = {"train": 5, "valid_seen": 4}
"""Games of each task type, by split: 54 in all; `envs.alfworld.verify games=all` plays every one."""
NUM_OTHER = 9
NUM_AFTER = 3
INVALID = (
    "",
    "   ",
    "LOOK",
    "take",
    "go to",
    "go to nowhere 1",
    "examine",
    "put mug 1 in/on desk 1",
    "xyzzy",
    "help me",
)


@pytest.fixture(scope="module")
def stock() -> Iterator[None]:
    """The stock engine, which would otherwise translate the same problem on loading and on every reset."""
    pytest.importorskip("alfworld", reason="the stock engine is absent: pip install 'keystone-rl[alfworld]'")
    downward = pytest.importorskip("fast_downward")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downward, "pddl2sas", lru_cache(maxsize=2)(downward.pddl2sas))
        yield


def disguised(command: str, draw: random.Random) -> str:
    """A command in another case or with other space."""
    return draw.choice(
        (command.upper(), command.title(), f"  {command}\t", command.replace(" ", "  ", 1), f"{command}.")
    )


def chosen(commands: list[str], draw: random.Random) -> str:
    """An admissible command; rare verbs are preferred to the many ways to go."""
    rare = [command for command in commands if command.split()[0] in ("clean", "heat", "cool", "use", "slice")]
    near = [command for command in commands if not command.startswith("go to")]
    return draw.choice(draw.choice([rare or near, near, commands]))


def script(native: World, walkthrough: tuple[str, ...], draw: random.Random) -> Iterator[str]:
    """Commands to play: the walkthrough, others strewn in that do not lead away from it, and more after the win."""
    for place, command in enumerate(walkthrough):
        for _ in range(NUM_OTHER * (place + 1) // len(walkthrough) - NUM_OTHER * place // len(walkthrough)):
            commands = native.admissible_commands()
            telling = ("look", "inventory", "help", *(c for c in commands if c.startswith(("examine", "use"))))
            yield draw.choice((draw.choice(INVALID), disguised(draw.choice(commands), draw), draw.choice(telling)))
        yield command
    for _ in range(NUM_AFTER):
        yield chosen(native.admissible_commands(), draw)


def wander(native: World, draw: random.Random, count: int) -> Iterator[str]:
    """Commands to play: random admissible ones."""
    for _ in range(count):
        yield chosen(native.admissible_commands(), draw)


def compare(path: Path, commands: Iterator[str], native: World) -> Counter[str]:
    """Plays both engines side by side and returns how often each verb was played."""
    reference = ReferenceWorld(path)
    assert native.reset() == reference.reset()
    played: list[str] = []
    verbs: Counter[str] = Counter()
    while True:
        assert native.admissible_commands() == reference.admissible_commands(), played
        assert native.won == reference.won, played
        command = next(commands, None)
        if command is None:
            return verbs
        played.append(command)
        verbs[command.split()[0] if command.split() else ""] += 1
        assert native.step(command) == reference.step(command), played


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_real_games(alfworld_data: Path, task_type: str) -> None:
    draw = random.Random(f"lockstep {task_type}")
    verbs: Counter[str] = Counter()
    for split, count in COUNTS.items():
        games = find_games(str(alfworld_data), split)
        assert games is not None
        names = [name for name in games.names if f"/{task_type}-" in name]
        for number, name in enumerate(draw.sample(names, count)):
            path = games.path(name)
            game = read_game(path)
            native = World(Layout(game.problem, game.dialect))
            wandering = number % 3 == 2
            commands = wander(native, draw, 18) if wandering else script(native, game.walkthrough, draw)
            verbs += compare(path, commands, native)
    assert verbs.total() > 100
    assert {"go", "take", "move"} <= set(verbs)


@pytest.mark.usefixtures("stock", "own_cache")
def test_generated_games() -> None:
    draw = random.Random("lockstep generated")
    env = ALFWorld(data="generated", engine="reference")
    for task in env.sample_tasks(0, 6):
        native = ALFWorld(data="generated")
        said = [world.reset(options={"task": task}) for world in (env, native)]
        assert said[0] == said[1]
        for command in [*native.solution()]:
            for played in (disguised(command, draw), "help", command):
                assert env.step(played) == native.step(played)
        assert native.step("look")[4]["won"]


@pytest.mark.usefixtures("stock")
def test_the_stock_engine_leaves_the_process_as_it_was(alfworld_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["keystone", "key=value"])
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    games = find_games(str(alfworld_data), "valid_seen")
    assert games is not None
    world = ReferenceWorld(games.path(games.names[0]))
    first = world.reset(), world.state_key()
    world.step(world.admissible_commands()[0])
    assert world.state_key() != first[1]
    assert (world.reset(), world.state_key()) == first
    assert sys.argv == ["keystone", "key=value"]
    assert "ALFWORLD_DATA" not in os.environ


@lru_cache(maxsize=2)
def both(path: Path) -> tuple[World, ReferenceWorld]:
    """Both engines on one game; loading it takes the stock one a second."""
    game = read_game(path)
    return World(Layout(game.problem, game.dialect)), ReferenceWorld(path)


WORDS = ("go", "to", "take", "from", "move", "open", "the", "in/on", "Fridge", "1", "2", "drawer", "mug", "\t")
MIXED_WORDS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
COMMANDS = st.lists(st.one_of(st.integers(0, 10_000), MIXED_WORDS, st.text(max_size=20)), max_size=12)


@pytest.mark.usefixtures("stock")
@settings(max_examples=10, deadline=None)
@given(number=st.integers(0, 1), commands=COMMANDS)
def test_any_commands(alfworld_data: Path, number: int, commands: list[int | str]) -> None:
    """A number plays that admissible command, a text is played as it is."""
    games = find_games(str(alfworld_data), "valid_seen")
    assert games is not None
    native, reference = both(games.path(games.names[number * 50]))
    with remembering():
        assert native.reset() == reference.reset()
        for command in commands:
            admissible = native.admissible_commands()
            played = admissible[command % len(admissible)] if isinstance(command, int) else command
            assert native.step(played) == reference.step(played)
            assert (native.won, native.admissible_commands()) == (reference.won, reference.admissible_commands())


def older(data: dict[str, Any]) -> dict[str, Any]:
    """A game of format 2.1.1 out of one of 2.1.2: its wording, no help, no walkthrough."""
    grammar, domain = data["grammar"], data["pddl_domain"]
    for new, old in (
        ("You arrive at {r.name}.", "You arrive at {lend.name}."),
        ("You move the {o.name} to the {r.name}.", "You put the {o.name} in/on the {r.name}."),
        ('template :: "move {o} to {r}"', 'template :: "put {o} in/on {r}"'),
    ):
        assert new in grammar
        grammar = grammar.replace(new, old)
    return {
        "pddl_domain": domain[: domain.index("(:action help")].replace("(receptacleType ?r SinkType)", "") + ")",
        "grammar": grammar[: grammar.index("action help {")],
        "pddl_problem": data["pddl_problem"],
        "solvable": True,
    }


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_games_of_format_2_1_1(alfworld_data: Path, tmp_path: Path, task_type: str) -> None:
    games = find_games(str(alfworld_data), "valid_seen")
    assert games is not None
    name = next(name for name in games.names if f"/{task_type}-" in name)
    path = tmp_path / "game.tw-pddl"
    path.write_text(json.dumps(older(json.loads(games.path(name).read_text()))))
    game = read_game(path)
    assert game.dialect == CLASSIC
    native = World(Layout(game.problem, game.dialect))
    planned = plan(native.layout)
    assert planned is not None
    compare(path, script(native, planned, random.Random(task_type)), native)
