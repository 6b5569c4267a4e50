"""The files of the `alfworld` package: rooms, types, domain, grammar and goals.

They are read without importing the package, which would import its simulator and change the process (its command line
and environment variables).
"""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from envs.errors import MissingExtraError


class GameTexts(NamedTuple):
    """What all games written with the package share.

    Attributes:
        domain: the PDDL domain.
        grammar: the grammar of what the game says; its task line says "UNKNOWN GOAL".
        goals: task type -> goal in PDDL with {obj}, {recep} and {toggle} to fill in and "#" for "-"; it ends a problem.
    """

    domain: str
    grammar: str
    goals: Mapping[str, str]


class Rooms(NamedTuple):
    """What the package knows of the rooms.

    Attributes:
        constants: the names defined in its `gen/constants.py`.
        objects: floor plan number -> all types in the room.
        spots: floor plan number -> receptacle name -> [x, z, rotation, horizon] to stand at.
    """

    constants: Mapping[str, Any]
    objects: Mapping[int, list[str]]
    spots: Mapping[int, dict[str, list[float]]]


def read_game_texts() -> GameTexts:
    """Reads domain, grammar and goals.

    Raises:
        MissingExtraError: the package is not installed.
    """
    folder = _folder()
    goals = runpy.run_path(str(folder / "gen" / "goal_library.py"))["gdict"]
    return GameTexts(
        (folder / "data" / "alfred.pddl").read_text(encoding="utf-8"),
        (folder / "data" / "alfred.twl2").read_text(encoding="utf-8"),
        {task_type: entry["pddl"] for task_type, entry in goals.items()},
    )


def read_rooms() -> Rooms:
    """Reads constants and layouts.

    Raises:
        MissingExtraError: the package is not installed.
    """
    folder = _folder() / "gen"
    objects = {_number(file): json.loads(file.read_text()) for file in (folder / "layouts").glob("*-objects.json")}
    spots = {_number(file): json.loads(file.read_text()) for file in (folder / "layouts").glob("*-openable.json")}
    return Rooms(runpy.run_path(str(folder / "constants.py")), objects, spots)


def _folder() -> Path:
    spec = importlib.util.find_spec("alfworld")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("this needs the alfworld package. Install it: pip install 'keystone-rl[alfworld]'")
    return Path(spec.submodule_search_locations[0])


def _number(file: Path) -> int:
    return int(re.sub(r"\D", "", file.name))
