"""The table of household facts that the generator and the exploring expert run on, `facts.json`.

It says which rooms there are and what stands in them, which objects a room may have, what may lie where, and, as
aggregate figures over the train games of ALFWorld (arXiv 2010.03768), how often. Rooms and rules come from files of
the `alfworld` package (MIT licence; the rooms are those of ALFRED, arXiv 1912.01734). The command that makes the table
again from the installed package and the train games is

    python -m envs.alfworld.facts data=PATH

The package does not say where the small fixtures of a room stand (burners, bins, holders, drawers that do not open):
`envs.alfworld.facts_derivation` gives each room as many as rooms of its kind have and makes up their positions. Nothing
of any single game is in the table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from envs.alfworld.problem import Receptacle
from envs.command import run_command
from envs.config_schema import key
from envs.files import check_writable, writing

STATIONS = {
    "pick_clean_then_place_in_recep": "SinkBasin",
    "pick_heat_then_place_in_recep": "Microwave",
    "pick_cool_then_place_in_recep": "Fridge",
}
"""Task type -> the receptacle type where its treatment is done."""

PATH = Path(__file__).with_name("facts.json")


class Room(NamedTuple):
    """A floor plan and what is always in it.

    Attributes:
        number: ALFRED's floor plan number.
        kind: "kitchen", "living room", "bedroom" or "bathroom".
        objects: the object types that it has, without the suffix "Type".
        receptacles: its receptacles, all closed, sorted by id.
    """

    number: int
    kind: str
    objects: tuple[str, ...]
    receptacles: tuple[Receptacle, ...]


class Wish(NamedTuple):
    """What a task may ask for.

    Attributes:
        object_type: for example "Mug".
        target: the receptacle type, or the lamp's object type.
        games: number of train games that ask for it.
    """

    object_type: str
    target: str
    games: int


class Facts(NamedTuple):
    """The whole table. Types stand without the suffix "Type"; a *kind* is a kind of room.

    Attributes:
        rooms: the rooms by floor plan number.
        traits: object type -> its traits (see `envs.alfworld.problem.Thing.traits`).
        can_contain: receptacle type, or type of an object that holds others -> the object types it may hold.
        task_rooms: task type -> kind -> number of train games.
        wishes: kind -> task type -> what was asked for.
        instances: task type -> number of objects of the asked-for type -> number of train games.
        counts: kind -> object type -> number of its objects in a game -> number of train games that do not ask for it.
        places: kind -> object type -> receptacle type -> share of such objects that lie there, in rooms that have it;
            two types joined by "&" mean that the object is in both, "" that it is in none.
        wished_places: the same for objects that are asked for.
        found: object type -> receptacle type -> mean number of such objects in one such receptacle.
        contained: probability that an object which lies with an object that may hold it is inside.
    """

    rooms: Mapping[int, Room]
    traits: Mapping[str, frozenset[str]]
    can_contain: Mapping[str, frozenset[str]]
    task_rooms: Mapping[str, Mapping[str, int]]
    wishes: Mapping[str, Mapping[str, tuple[Wish, ...]]]
    instances: Mapping[str, Mapping[int, int]]
    counts: Mapping[str, Mapping[str, Mapping[int, int]]]
    places: Mapping[str, Mapping[str, Mapping[str, float]]]
    wished_places: Mapping[str, Mapping[str, Mapping[str, float]]]
    found: Mapping[str, Mapping[str, float]]
    contained: float


@dataclass(frozen=True)
class FactsConfig:
    """Keys of the command that makes the table."""

    data: str = key("", "folder of the real games; empty looks at $ALFWORLD_DATA and ~/.cache/alfworld")
    out: str = key(str(PATH), "file to write")


def entity_id(name: str) -> str:
    """Turns a name of the simulator ("Mug|+00.68|+00.50|-02.20") into an entity id of the PDDL text."""
    for mark, word in (("|", "_bar_"), ("+", "_plus_"), ("-", "_minus_"), (".", "_dot_")):
        name = name.replace(mark, word)
    return name


def barred_places(task_type: str, target: str) -> set[str]:
    """Returns where no asked-for object lies at the start, in the train games and so in generated ones.

    Tasks that only bring things never have one at the target, and those with a treatment never at its station.
    """
    if task_type == "look_at_obj_in_light":
        return set()
    return {STATIONS.get(task_type, target)}


@lru_cache(maxsize=1)
def load() -> Facts:
    """Reads the table that ships with the package, once."""
    table = json.loads(PATH.read_text(encoding="utf-8"))
    return Facts(
        rooms={int(number): _room(int(number), row) for number, row in table["rooms"].items()},
        traits={name: frozenset(traits) for name, traits in table["traits"].items()},
        can_contain={name: frozenset(types) for name, types in table["can_contain"].items()},
        task_rooms=table["task_rooms"],
        wishes={
            kind: {task: tuple(Wish(*row) for row in rows) for task, rows in by_task.items()}
            for kind, by_task in table["wishes"].items()
        },
        instances={task: _whole(histogram) for task, histogram in table["instances"].items()},
        counts={
            kind: {name: _whole(histogram) for name, histogram in by_type.items()}
            for kind, by_type in table["counts"].items()
        },
        places=table["places"],
        wished_places=table["wished_places"],
        found=table["found"],
        contained=table["contained"],
    )


def _whole(histogram: Mapping[str, int]) -> dict[int, int]:
    return {int(value): count for value, count in histogram.items()}


def _room(number: int, row: Mapping[str, object]) -> Room:
    receptacles = tuple(
        Receptacle(entity_id(name), f"{receptacle_type}Type", entity_id(location), bool(openable))
        for receptacle_type, name, location, openable in row["receptacles"]  # type: ignore[attr-defined]
    )
    return Room(number, str(row["kind"]), tuple(row["objects"]), tuple(sorted(receptacles)))  # type: ignore[arg-type]


def main(settings: FactsConfig) -> None:
    """Makes the table again and writes it."""
    from envs.alfworld.facts_derivation import derive

    out = Path(settings.out).expanduser()
    check_writable(out, "out")
    table = derive(settings.data)
    rows = ",\n".join(f"{json.dumps(name)}: {_text(value)}" for name, value in table.items())
    with writing(out):
        out.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")
    print(f"wrote {out}: {len(table['rooms'])} rooms, figures from {table['games']} train games")


def _text(value: object) -> str:
    """JSON with the first level of a mapping on lines of its own, so that changes can be read."""
    if not isinstance(value, dict):
        return json.dumps(value)
    rows = ",\n".join(
        f" {json.dumps(str(name))}: {json.dumps(part, separators=(',', ':'))}" for name, part in value.items()
    )
    return f"{{\n{rows}\n}}"


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m envs.alfworld.facts", FactsConfig, main, description="Makes the table of household facts again."
        )
    )
