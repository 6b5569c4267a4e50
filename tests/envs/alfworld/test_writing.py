"""Written games: the native engine reads them back unchanged, and the stock engine plays them in step with it."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.alfworld import package
from envs.alfworld.experts import ExploringExpert
from envs.alfworld.games import find_games
from envs.alfworld.generator import generate
from envs.alfworld.layout import Layout
from envs.alfworld.problem import Problem
from envs.alfworld.reading import read_game
from envs.alfworld.reference import ReferenceWorld
from envs.alfworld.world import World
from envs.alfworld.writing import problem_text, write_game
from envs.errors import InputError, MissingExtraError

needs_alfworld = pytest.mark.skipif(
    importlib.util.find_spec("alfworld") is None, reason="the alfworld extra is not installed"
)
goal_texts = {
    "pick_and_place_simple": "(:goal (exists {obj} {recep}))",
    "look_at_obj_in_light": "(:goal (exists {obj} {toggle}))",
}


def canonical(problem: Problem) -> Problem:
    """The same problem with its entities in order of their ids."""
    return problem._replace(
        receptacles=tuple(sorted(problem.receptacles)),
        things=tuple(
            thing._replace(contains=tuple(sorted(thing.contains)))
            for thing in sorted(problem.things, key=lambda thing: thing.id)
        ),
    )


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install"):
        write_game(generate("train", 0), tmp_path / "game")
    assert not (tmp_path / "game").exists()


def test_a_problem_is_written_with_every_fact() -> None:
    problem = next(
        game
        for game in (generate("train", index) for index in range(50))
        if game.goal.task_type == "look_at_obj_in_light"
    )
    text = problem_text(problem, package.GameTexts("", "", goal_texts))
    assert text.startswith(f"(define (problem {problem.name})")
    assert text.count("(receptacleType ") == len(problem.receptacles)
    assert text.count("(openable ") == sum(receptacle.openable for receptacle in problem.receptacles)
    assert text.count("(objectType ") == len(problem.things)
    assert text.count("(inReceptacle ") == sum(len(thing.receptacles) for thing in problem.things)
    assert text.count("(canContain ") == len(problem.can_contain)
    assert text.endswith(f"(:goal (exists {problem.goal.object_type[:-4]} {problem.goal.target_type[:-4]}))")


@needs_alfworld
@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["train", "unseen"]), st.integers(0, 100_000))
def test_written_games_are_read_back(tmp_path_factory: pytest.TempPathFactory, split: str, index: int) -> None:
    problem = generate(split, index)
    game = read_game(write_game(problem, tmp_path_factory.mktemp("games") / "game"))
    assert canonical(game.problem) == canonical(problem)
    world = World(Layout(game.problem, game.dialect))
    for command in game.walkthrough:
        world.step(command)
    assert world.won


@needs_alfworld
def test_written_games_are_found_and_name_their_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    problem = generate("train", 5)
    name = f"train/{problem.goal.task_type}-generated/trial_5"
    write_game(problem, tmp_path / name)
    index = find_games(str(tmp_path), "train")
    assert index is not None
    assert index.names == (name,)
    parameters = json.loads((tmp_path / name / "traj_data.json").read_text())
    assert parameters["task_type"] == problem.goal.task_type
    assert f"{parameters['pddl_params']['object_target']}Type" == problem.goal.object_type


@needs_alfworld
def test_a_game_that_cannot_be_won_is_not_written(tmp_path: Path) -> None:
    problem = generate("train", 0)
    with pytest.raises(InputError, match="cannot be won"):
        write_game(problem._replace(things=()), tmp_path / "game")
    assert not (tmp_path / "game").exists()


@needs_alfworld
@pytest.mark.parametrize("index", [0, 1])
def test_the_stock_engine_plays_written_games_in_step(tmp_path: Path, index: int) -> None:
    path = write_game(generate("unseen", index), tmp_path / "game")
    game = read_game(path)
    native, stock = World(Layout(game.problem, game.dialect)), ReferenceWorld(path)
    text = native.reset()
    assert stock.reset() == text
    for command in game.walkthrough:
        assert stock.step(command) == native.step(command)
    assert stock.won
    expert, draw = ExploringExpert(None, index), random.Random(index)
    text = native.reset()
    assert stock.reset() == text
    for _ in range(50):
        command = expert.act(text)
        if draw.random() < 0.1:
            command = draw.choice(native.admissible_commands())
        text = native.step(command)
        assert stock.step(command) == text
        assert sorted(stock.admissible_commands()) == native.admissible_commands()
        if native.won:
            break
    assert native.won
    assert stock.won


@needs_alfworld
def test_help_reads_as_the_stock_engine_gives_it(tmp_path: Path) -> None:
    file = write_game(generate("train", 7), tmp_path)
    game = read_game(file)
    native, stock = World(Layout(game.problem, game.dialect)), ReferenceWorld(file)
    assert native.reset() == stock.reset()
    assert native.step("help") == stock.step("help")
