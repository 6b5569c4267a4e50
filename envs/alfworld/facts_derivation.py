"""Makes the table of household facts out of the `alfworld` package and aggregate figures of ALFWorld's train games.

The package's layout files name, room by room, the receptacles that its makers tried out, each with a spot to stand at,
and the types of everything in the room. Receptacles of the types that a layout gives no place for, and the drawers and
cabinets beyond the tried ones, are added in the numbers that rooms of that kind have in the train games, at positions
made up by a generator seeded with the room's number. They do not open, as in the games.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from envs.alfworld.facts_statistics import (
    Game,
    count_objects,
    count_tasks,
    kind_of_room,
    mean_finds,
    plain,
    read_games,
    share_places,
)
from envs.alfworld.package import Rooms, read_rooms

Fixtures = Mapping[tuple[str, str, bool], Counter[int]]

# The package's names of the traits that follow from an object's type.
_TRAITS = {
    "Heatable": "heatable",
    "Coolable": "coolable",
    "Cleanable": "cleanable",
    "Toggleable": "toggleable",
    "Sliceable": "sliceable",
}
# Beside what a fixture without a known place stands.
_NEIGHBOURS = {"StoveBurner": "CounterTop", "CoffeeMachine": "CounterTop", "Toaster": "CounterTop"}
_EYE_HEIGHT = 1.5


class _Place(NamedTuple):
    """A receptacle as the table states it."""

    type: str
    name: str
    location: str
    openable: int


def derive(data: str) -> dict[str, Any]:
    """Makes the table.

    Args:
        data: the folder that holds the train games.

    Returns:
        The content of `facts.json`.

    Raises:
        MissingExtraError: the `alfworld` package is not installed.
        InputError: there are no train games.
    """
    package = read_rooms()
    games = list(read_games(data))
    traits = _traits(package, games)
    fixtures = count_fixtures(package, games)
    places, wished_places = share_places(games)
    allowed = package.constants["VAL_RECEPTACLE_OBJECTS"]
    return {
        "source": "alfworld package (https://github.com/alfworld/alfworld), gen/layouts and gen/constants.py; "
        "aggregate figures of ALFWorld's train games (json_2.1.1)",
        "licence": "MIT, Copyright (c) 2020 Mohit Shridhar and others",
        "command": "python -m envs.alfworld.facts data=PATH",
        "games": len(games),
        "rooms": {number: make_room(number, package, fixtures, set(traits)) for number in sorted(package.objects)},
        "traits": traits,
        "can_contain": {name: sorted(types) for name, types in sorted(allowed.items())},
        **count_tasks(games),
        "counts": count_objects(games),
        "places": places,
        "wished_places": wished_places,
        "found": mean_finds(games),
        "contained": _contained(allowed, games),
    }


def count_fixtures(package: Rooms, games: list[Game]) -> Fixtures:
    """Counts how many receptacles of each type rooms have beyond their layout.

    Returns:
        (kind, type, whether the layout names one) -> number of further ones -> number of rooms.
    """
    fixtures: dict[tuple[str, str, bool], Counter[int]] = defaultdict(Counter)
    for number, problem in {game.room: game.problem for game in games}.items():
        known = Counter(map(_receptacle_type, package.spots[number]))
        present = Counter(plain(receptacle.type) for receptacle in problem.receptacles)
        for name in package.objects[number]:
            if present[name] or known[name]:
                fixtures[kind_of_room(number), name, known[name] > 0][present[name] - known[name]] += 1
    return fixtures


def make_room(number: int, package: Rooms, fixtures: Fixtures, object_types: set[str]) -> dict[str, Any]:
    """Makes one room's row of the table.

    Args:
        number: its floor plan number.
        package: the package's facts.
        fixtures: how many receptacles to add (`count_fixtures`).
        object_types: the types that are objects in games.

    Returns:
        Its kind, its object types and its receptacles (type, name, location, whether it opens).
    """
    draw = random.Random(f"room {number}")
    kind = kind_of_room(number)
    openable = package.constants["OPENABLE_CLASS_SET"]
    known = {_full_name(name): spot for name, spot in sorted(package.spots[number].items())}
    places = []
    for name, spot in known.items():
        type_ = _receptacle_type(name)
        places.append(_Place(type_, name, _location(name, spot), int(type_ in openable)))
    tried = {place.type for place in places}
    for type_ in sorted(package.objects[number]):
        histogram = fixtures.get((kind, type_, type_ in tried))
        if histogram:
            further = draw.choices(list(histogram), list(histogram.values()))[0]
            places += _fixtures(type_, further, known, draw)
    return {"kind": kind, "objects": sorted(set(package.objects[number]) & object_types), "receptacles": places}


def _fixtures(type_: str, number: int, known: Mapping[str, list[float]], draw: random.Random) -> list[_Place]:
    """Makes up fixtures of one type, each beside a suitable known receptacle."""
    beside = [name for name in known if _receptacle_type(name) in (type_, _NEIGHBOURS.get(type_))] or list(known)
    if type_ == "StoveBurner":
        return _burners(number, draw.choice(beside), known)
    places = []
    for index in range(number):
        anchor = draw.choice(beside)
        x, y, z = _position(anchor)
        height = max(0.0, y + draw.uniform(-0.3, 0.3))
        name = _name(type_, x + draw.uniform(-0.5, 0.5), height, z + draw.uniform(-0.5, 0.5))
        spot = known[anchor]
        moved = [spot[0] + draw.choice((-0.25, 0.25)), spot[1] + 0.25 * index, *spot[2:]]
        places.append(_Place(type_, name, _location(name, moved), 0))
    return places


def _burners(number: int, anchor: str, known: Mapping[str, list[float]]) -> list[_Place]:
    """Makes up a stove: burners in pairs, of which each pair is used from one spot."""
    x, y, z = _position(anchor)
    places = []
    for index in range(number):
        pair, rear = divmod(index, 2)
        name = _name("StoveBurner", x + 0.3 * pair, y + 0.05, z + 0.25 * rear)
        spot = known[anchor]
        front = _location(_name("StoveBurner", x + 0.3 * pair, y + 0.05, z), [spot[0] + 0.25 * pair, *spot[1:]])
        places.append(_Place("StoveBurner", name, front, 0))
    return places


def _receptacle_type(name: str) -> str:
    first, *_, last = name.split("|")
    return last if last.endswith("Basin") else {"Sink": "SinkBasin", "Bathtub": "BathtubBasin"}.get(first, first)


def _full_name(name: str) -> str:
    """Writes a basin the way the games do: "Sink|x|y|z|SinkBasin"."""
    type_ = _receptacle_type(name)
    first, *position = name.split("|")[:4]
    return "|".join([first.removesuffix("Basin"), *position, *([type_] if type_.endswith("Basin") else [])])


def _name(type_: str, x: float, y: float, z: float) -> str:
    return _full_name(f"{type_}|{x:+06.2f}|{y:+06.2f}|{z:+06.2f}")


def _position(name: str) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in name.split("|")[1:4])
    return x, y, z


def _location(name: str, spot: list[float]) -> str:
    """Names the location to use a receptacle from: grid cell, direction, and the tilt at which one sees it there."""
    x, y, z = _position(name)
    distance = max(abs(x - spot[0]), abs(z - spot[1]), 0.25)
    angle = math.degrees(math.atan2(_EYE_HEIGHT - y, distance))
    # Fitted to the games, where the tilt is a multiple of 15 degrees and mostly the next one below the straight line.
    horizon = min(60, max(-30, 15 * round((angle + 7) / 15)))
    return f"loc|{round(spot[0] * 4)}|{round(spot[1] * 4)}|{round(spot[2] / 90) % 4}|{horizon}"


def _traits(package: Rooms, games: list[Game]) -> dict[str, list[str]]:
    traits: dict[str, set[str]] = defaultdict(set)
    for game in games:
        for thing in game.problem.things:
            traits[plain(thing.type)] |= thing.traits & {"pickupable"}
    for group, trait in _TRAITS.items():
        for name in package.constants["VAL_ACTION_OBJECTS"][group] & traits.keys():
            traits[name].add(trait)
    for name in package.constants["MOVABLE_RECEPTACLES_SET"] & traits.keys():
        traits[name].add("isReceptacleObject")
    return {name: sorted(traits[name]) for name in sorted(traits)}


def _contained(allowed: Mapping[str, set[str]], games: list[Game]) -> float:
    """Returns the share of the chances to lie inside another object (same receptacle, allowed types) that are taken."""
    chances = taken = 0
    for game in games:
        together: dict[str, list[str]] = defaultdict(list)
        for thing in game.problem.things:
            taken += len(thing.contains)
            for id in thing.receptacles[:1]:
                together[id].append(plain(thing.type))
        for names in together.values():
            chances += sum(inner in allowed[outer] for outer in names if outer in allowed for inner in names)
    return round(taken / chances, 4)
