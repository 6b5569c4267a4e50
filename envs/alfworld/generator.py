"""Makes household games from the table of facts: a pure function of the split's name and an index.

A game is drawn as ALFRED (arXiv 1912.01734) draws its own: a task type with the train games' frequency, a kind of room,
what to ask for, a room that has it, one to four objects of the asked-for type and one to three of every other movable
type of the room, each lying where such objects lie in the train games. Every game can be won: enough objects of
the asked-for type are within reach, every station that the task needs is in the room, and the goal does not hold at the
start.

Rooms are split as in ALFWorld (arXiv 2010.03768): "unseen" plays in the 12 of ALFRED's 120 rooms in which no train game
of ALFWorld plays, three of each kind, which include the four (10, 219, 308, 424) of ALFWorld's own unseen games;
"train" plays in the other 108.

Left out: objects that lie in three or more receptacles at once, and the game's images and sizes of things.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple, TypeVar

from envs.alfworld import facts
from envs.alfworld.facts import STATIONS, Facts, Room, Wish, barred_places
from envs.alfworld.problem import Goal, Problem, Receptacle, Thing
from envs.alfworld.sentences import SENTENCES
from envs.errors import unknown

T = TypeVar("T")

UNSEEN_ROOMS = frozenset({9, 10, 29, 215, 219, 226, 308, 315, 325, 404, 424, 425})
SPLITS = ("train", "unseen")

# 2^64 divided by the golden ratio: multiples of it, modulo 2^64, are spread evenly.
_GOLDEN = 11400714819323198485


class _Task(NamedTuple):
    task_type: str
    room: Room
    wish: Wish


def generate(split: str, index: int) -> Problem:
    """Makes one game.

    Args:
        split: "train" or "unseen", which says whose rooms it may play in.
        index: which game of the split, any whole number.

    Returns:
        The game's facts, always the same for the same arguments.

    Raises:
        InputError: there is no such split.
    """
    if split not in SPLITS:
        raise unknown("split of generated games", split, SPLITS)
    draw = random.Random(f"keystone alfworld {split} {index}")
    table = facts.load()
    task = _draw_task(split, index, table, draw)
    things = _Furnisher(task, table, draw).furnish()
    room = task.room
    types = {thing.type for thing in things}
    return Problem(
        name=f"plan_generated_{split}_{index}",
        start=_start(room, draw),
        receptacles=room.receptacles,
        things=tuple(things),
        can_contain=frozenset(
            (place, f"{inner}Type")
            for place in {receptacle.type for receptacle in room.receptacles}
            for inner in table.can_contain.get(place.removesuffix("Type"), ())
            if f"{inner}Type" in types
        ),
        goal=Goal(task.task_type, f"{task.wish.object_type}Type", f"{task.wish.target}Type"),
        sentence=draw.choice(SENTENCES[task.task_type]).format(
            object=task.wish.object_type.lower(), target=task.wish.target.lower()
        ),
    )


def rooms_of(split: str) -> list[Room]:
    """Returns the rooms of a split, in ascending order of their numbers."""
    return [
        room for number, room in sorted(facts.load().rooms.items()) if (number in UNSEEN_ROOMS) == (split == "unseen")
    ]


def _weighted(draw: random.Random, weights: Mapping[T, float]) -> T:
    return draw.choices(list(weights), list(weights.values()))[0]


def _draw_task(split: str, index: int, table: Facts, draw: random.Random) -> _Task:
    """Picks a task type, then a kind of room, then what to ask for, then a room where that can be asked for.

    Task types follow the golden-ratio sequence, so that any run of games has close to the train games' mix.
    """
    games = {task: sum(kinds.values()) for task, kinds in table.task_rooms.items()}
    point = index * _GOLDEN % 2**64 * sum(games.values()) // 2**64
    task_type = next(task for task, reached in zip(games, accumulate(games.values()), strict=True) if point < reached)
    feasible = _feasible_wishes(split, task_type)
    kind = _weighted(draw, {kind: count for kind, count in table.task_rooms[task_type].items() if kind in feasible})
    wish = _weighted(draw, {wish: wish.games for wish in feasible[kind]})
    return _Task(task_type, draw.choice(feasible[kind][wish]), wish)


@cache
def _feasible_wishes(split: str, task_type: str) -> dict[str, dict[Wish, list[Room]]]:
    """Lists by kind what a task of this type can ask for, with the rooms where it can."""
    feasible: dict[str, dict[Wish, list[Room]]] = defaultdict(lambda: defaultdict(list))
    for room in rooms_of(split):
        for wish in facts.load().wishes[room.kind].get(task_type, ()):
            if _is_feasible(_Task(task_type, room, wish)):
                feasible[room.kind][wish].append(room)
    return dict(feasible)


def _is_feasible(task: _Task) -> bool:
    """Whether a room has all that a task needs."""
    present = {receptacle.type.removesuffix("Type") for receptacle in task.room.receptacles}
    objects, places = {task.wish.object_type}, {task.wish.target, STATIONS.get(task.task_type, task.wish.target)}
    if task.task_type == "look_at_obj_in_light":
        objects, places = {task.wish.object_type, task.wish.target}, set()
    return (
        objects <= set(task.room.objects)
        and places <= present
        and all(_reachable_places(task, name, present, facts.load()) for name in objects)
    )


def _shares(task: _Task, name: str, table: Facts) -> Mapping[str, float]:
    """Looks up where objects of a type lie in such a room: apart for the type that is asked for."""
    places = table.wished_places if name == task.wish.object_type else table.places
    return places[task.room.kind].get(name, {})


def _reachable_places(task: _Task, name: str, present: set[str], table: Facts) -> dict[str, float]:
    """Weighs the places within reach where an object of a type may lie at the start, all places being in the room."""
    asked_for = name == task.wish.object_type
    allowed = present - barred_places(task.task_type, task.wish.target) if asked_for else present
    shares = _shares(task, name, table)
    return {place: share for place, share in shares.items() if place and set(place.split("&")) <= allowed}


def _start(room: Room, draw: random.Random) -> str:
    """Draws a location that is at no receptacle."""
    taken = {receptacle.location for receptacle in room.receptacles}
    while True:
        x, z, *_ = (int(part.replace("_minus_", "-")) for part in draw.choice(sorted(taken)).split("_bar_")[1:])
        name = f"loc|{x + draw.randint(-3, 3)}|{z + draw.randint(-3, 3)}|{draw.randrange(4)}|30"
        if facts.entity_id(name) not in taken:
            return facts.entity_id(name)


class _Furnisher:
    """Puts the objects of one game into its room."""

    def __init__(self, task: _Task, table: Facts, draw: random.Random) -> None:
        self.task = task
        self.table = table
        self.draw = draw
        self.by_type: dict[str, list[Receptacle]] = defaultdict(list)
        for receptacle in task.room.receptacles:
            self.by_type[receptacle.type.removesuffix("Type")].append(receptacle)
        self.ids = {receptacle.id for receptacle in task.room.receptacles}
        self.things: list[Thing] = []

    def furnish(self) -> list[Thing]:
        """Draws all objects, sorted by id."""
        task = self.task
        needed = {task.wish.object_type: 2 if task.task_type == "pick_two_obj_and_place" else 1}
        if task.task_type == "look_at_obj_in_light":
            needed[task.wish.target] = 1
        for name in task.room.objects:
            for index in range(self._number_of(name)):
                self.things.append(self._place(name, within_reach=index < needed.get(name, 0)))
        self._nest()
        return sorted(self.things)

    def _number_of(self, name: str) -> int:
        if name == self.task.wish.object_type:
            return _weighted(self.draw, self.table.instances[self.task.task_type])
        histogram = self.table.counts[self.task.room.kind].get(name)
        return _weighted(self.draw, histogram) if histogram else 1

    def _place(self, name: str, within_reach: bool) -> Thing:
        """Draws one object and where it lies; out of reach means in no receptacle."""
        weights = _reachable_places(self.task, name, set(self.by_type), self.table)
        nowhere = _shares(self.task, name, self.table).get("", 0.0)
        if (nowhere and not within_reach) or not weights:
            weights[""] = nowhere or 1.0
        place = _weighted(self.draw, weights)
        receptacles = self._receptacles(place)
        traits = set(self.table.traits[name])
        if "coolable" in traits and place == "Fridge" and name == self.task.wish.object_type:
            traits.add("isCool")
        location = receptacles[0].location if receptacles else self._loose_location()
        return Thing(
            self._id(name, receptacles), f"{name}Type", location, tuple(r.id for r in receptacles), frozenset(traits)
        )

    def _receptacles(self, place: str) -> list[Receptacle]:
        chosen: list[Receptacle] = []
        for name in place.split("&") if place else ():
            left = [receptacle for receptacle in self.by_type[name] if receptacle not in chosen]
            chosen += [self.draw.choice(left)] if left else []
        return chosen

    def _loose_location(self) -> str:
        return _start(self.task.room, self.draw)

    def _id(self, name: str, receptacles: Sequence[Receptacle]) -> str:
        """Makes up an id near the receptacle's own position, as the simulator's ids hold positions."""
        anchor = receptacles[0] if receptacles else self.draw.choice(self.task.room.receptacles)
        spread = 0.25 if receptacles else 1.0
        x, y, z = _position(anchor.id)
        while True:
            position = (
                x + self.draw.uniform(-spread, spread),
                y + self.draw.uniform(0.02, 0.12) if receptacles else self.draw.uniform(0.0, 0.1),
                z + self.draw.uniform(-spread, spread),
            )
            id = facts.entity_id(f"{name}|" + "|".join(f"{value:+06.2f}" for value in position))
            if id not in self.ids:
                self.ids.add(id)
                return id

    def _nest(self) -> None:
        """Lets a few objects lie inside another one in the same receptacle, out of which they can still be taken."""
        for outer, thing in enumerate(self.things):
            allowed = self.table.can_contain.get(thing.type.removesuffix("Type"), frozenset())
            if "isReceptacleObject" not in thing.traits or len(thing.receptacles) != 1:
                continue
            inside = tuple(
                other.id
                for other in self.things
                if other.receptacles == thing.receptacles
                and other.type.removesuffix("Type") in allowed
                and other.id != thing.id
                and thing.id not in other.contains
                and self.draw.random() < self.table.contained
            )
            self.things[outer] = thing._replace(contains=inside)


def _position(id: str) -> tuple[float, float, float]:
    """Reads the position that an entity id states."""
    parts = id.replace("_minus_", "-").replace("_plus_", "+").replace("_dot_", ".").split("_bar_")
    return float(parts[1]), float(parts[2]), float(parts[3])
