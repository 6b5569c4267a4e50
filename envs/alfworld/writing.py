"""Writes games in ALFWorld's own file format (2.1.2), so that the stock engine and its tools play them.

A game's folder gets `game.tw-pddl` (domain, grammar, problem, walkthrough) and a `traj_data.json` with the few entries
by which the `alfworld` package finds games and its hand-written expert knows the task. Domain, grammar and goals come
out of the installed package. Left out: the images, plans and annotations of ALFRED's own `traj_data.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from envs.alfworld import facts
from envs.alfworld.dialects import PACKAGED
from envs.alfworld.games import GAME_FILE
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.package import GameTexts, read_game_texts
from envs.alfworld.problem import Goal, Problem
from envs.errors import InputError
from envs.files import replace

_UNKNOWN_TASK = "UNKNOWN GOAL."


def write_game(problem: Problem, path: str | Path) -> Path:
    """Writes one game.

    Args:
        problem: its facts.
        path: the game's folder; made if need be.

    Returns:
        The path of its `game.tw-pddl`. A file that was there is replaced in one stroke.

    Raises:
        MissingExtraError: the `alfworld` package is not installed.
        InputError: the game cannot be won.
    """
    texts = read_game_texts()
    walkthrough = plan(Layout(problem, PACKAGED))
    if walkthrough is None:
        raise InputError(f"the game {problem.name} cannot be won, so it has no walkthrough to write.")
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "traj_data.json", {"task_type": problem.goal.task_type, "pddl_params": _parameters(problem.goal)})
    content = {
        "pddl_domain": texts.domain,
        "grammar": texts.grammar.replace(_UNKNOWN_TASK, problem.sentence),
        "pddl_problem": problem_text(problem, texts),
        "solvable": True,
        "walkthrough": list(walkthrough),
    }
    return _write(folder / GAME_FILE, content)


def problem_text(problem: Problem, texts: GameTexts) -> str:
    """Writes a problem in PDDL.

    Args:
        problem: its facts.
        texts: where the goals are.
    """
    parameters = _parameters(problem.goal)
    goal = (
        texts.goals[problem.goal.task_type]
        .replace("#", "-")
        .format(obj=parameters["object_target"], recep=parameters["parent_target"], toggle=parameters["toggle_target"])
    )
    return (
        f"(define (problem {problem.name})\n(:domain alfred)\n(:objects\n{_lines(_objects(problem))})\n"
        f"(:init\n{_lines(_facts(problem))})\n{goal}"
    )


def _write(path: Path, content: dict[str, object]) -> Path:
    replace(path, json.dumps(content).encode())
    return path


def _parameters(goal: Goal) -> dict[str, object]:
    """Returns the task's parameters under ALFRED's names, where a lamp is "toggled" and a receptacle is a "parent"."""
    target, lit = goal.target_type.removesuffix("Type"), goal.task_type == "look_at_obj_in_light"
    return {
        "object_target": goal.object_type.removesuffix("Type"),
        "parent_target": "" if lit else target,
        "toggle_target": target if lit else "",
        "mrecep_target": "",
        "object_sliced": False,
    }


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"        {row}\n" for row in rows)


def _objects(problem: Problem) -> Iterator[str]:
    """Declares every entity and type, those that only the goal names among them."""
    table = facts.load()
    yield "agent1 - agent"
    things = (
        {thing.type for thing in problem.things} | {problem.goal.object_type} | {f"{name}Type" for name in table.traits}
    )
    places = {receptacle.type for receptacle in problem.receptacles} | {f"{name}Type" for name in table.can_contain}
    yield from (f"{name} - otype" for name in sorted(things - {""}))
    yield from (f"{name} - rtype" for name in sorted(places - things))
    yield from (f"{thing.id} - object" for thing in problem.things)
    yield from (f"{receptacle.id} - receptacle" for receptacle in problem.receptacles)
    locations = {receptacle.location for receptacle in problem.receptacles} | {
        thing.location for thing in problem.things
    }
    yield from (f"{location} - location" for location in sorted(locations | {problem.start}) if location)


def _facts(problem: Problem) -> Iterator[str]:
    yield f"(atLocation agent1 {problem.start})"
    for receptacle in problem.receptacles:
        yield f"(receptacleType {receptacle.id} {receptacle.type})"
        yield f"(receptacleAtLocation {receptacle.id} {receptacle.location})"
        if receptacle.openable:
            yield f"(openable {receptacle.id})"
        if receptacle.opened:
            yield f"(opened {receptacle.id})"
    yield from (f"(canContain {place} {thing})" for place, thing in sorted(problem.can_contain))
    for thing in problem.things:
        if thing.type:
            yield f"(objectType {thing.id} {thing.type})"
        if thing.location:
            yield f"(objectAtLocation {thing.id} {thing.location})"
        yield from (f"(inReceptacle {thing.id} {receptacle})" for receptacle in thing.receptacles)
        yield from (f"({trait} {thing.id})" for trait in sorted(thing.traits))
        yield from (f"(inReceptacleObject {inner} {thing.id})" for inner in thing.contains)
