"""Puts the objects of one generated game into its room: how many of each type, where they lie, and their ids.

Numbers and places are drawn from the aggregate figures of the train games (`envs.alfworld.facts`). Objects of the type
that is asked for have figures of their own, and never lie where the task would be done or half done already.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from envs.alfworld import facts
from envs.alfworld.facts import Facts, Room, Wish, barred_places
from envs.alfworld.problem import Receptacle, Thing

T = TypeVar("T")


class Task(NamedTuple):
    """What a game asks for, and where it plays."""

    task_type: str
    room: Room
    wish: Wish

    @property
    def needed(self) -> dict[str, int]:
        """Returns how many objects of which types must be within reach."""
        needed = {self.wish.object_type: 2 if self.task_type == "pick_two_obj_and_place" else 1}
        if self.task_type == "look_at_obj_in_light":
            needed[self.wish.target] = 1
        return needed


def weighted(draw: random.Random, weights: Mapping[T, float]) -> T:
    """Draws a key with the probability that its weight gives it."""
    return draw.choices(list(weights), list(weights.values()))[0]


def reachable_places(task: Task, name: str, present: set[str], table: Facts) -> dict[str, float]:
    """Weighs the places within reach where an object of a type may lie at the start, all places being in the room.

    Args:
        task: the game's.
        name: the object's type, without "Type".
        present: the receptacle types of the room, without "Type".
        table: the table of facts.
    """
    asked_for = name == task.wish.object_type
    allowed = present - barred_places(task.task_type, task.wish.target) if asked_for else present
    return {
        place: share
        for place, share in _shares(task, name, table).items()
        if place and set(place.split("&")) <= allowed
    }


def start_location(room: Room, draw: random.Random) -> str:
    """Draws a location that is at no receptacle."""
    taken = {receptacle.location for receptacle in room.receptacles}
    while True:
        x, z, *_ = (int(part.replace("_minus_", "-")) for part in draw.choice(sorted(taken)).split("_bar_")[1:])
        name = f"loc|{x + draw.randint(-3, 3)}|{z + draw.randint(-3, 3)}|{draw.randrange(4)}|30"
        if facts.entity_id(name) not in taken:
            return facts.entity_id(name)


def _shares(task: Task, name: str, table: Facts) -> Mapping[str, float]:
    """Looks up where objects of a type lie in such a room: apart for the type that is asked for."""
    places = table.wished_places if name == task.wish.object_type else table.places
    return places[task.room.kind].get(name, {})


class Furnisher:
    """Puts objects into the room of one game."""

    def __init__(
        self,
        task: Task,
        table: Facts,
        draw: random.Random,
        receptacles: Sequence[Receptacle] | None = None,
        things: Iterable[Thing] = (),
    ) -> None:
        """Starts.

        Args:
            task: the game's.
            table: the table of facts.
            draw: every draw comes from it.
            receptacles: where objects may lie; None stands for all of the room.
            things: objects that are there already.
        """
        self.task = task
        self.table = table
        self.draw = draw
        self.receptacles = task.room.receptacles if receptacles is None else receptacles
        self.by_type: dict[str, list[Receptacle]] = defaultdict(list)
        for receptacle in self.receptacles:
            self.by_type[receptacle.type.removesuffix("Type")].append(receptacle)
        self.ids = {receptacle.id for receptacle in task.room.receptacles} | {thing.id for thing in things}

    def furnish(self) -> list[Thing]:
        """Draws all objects, sorted by id."""
        things = []
        for name in self.task.room.objects:
            for index in range(self._number_of(name)):
                things.append(self.place(name, within_reach=index < self.task.needed.get(name, 0)))
        self._nest(things)
        return sorted(things)

    def place(self, name: str, within_reach: bool) -> Thing:
        """Draws one object and where it lies.

        Args:
            name: its type, without "Type".
            within_reach: whether it must lie in a receptacle, where there is one for it.
        """
        weights = reachable_places(self.task, name, set(self.by_type), self.table)
        nowhere = _shares(self.task, name, self.table).get("", 0.0)
        if (nowhere and not within_reach) or not weights:
            weights[""] = nowhere or 1.0
        return self.put(name, weighted(self.draw, weights))

    def put(self, name: str, place: str) -> Thing:
        """Makes one object of a type in a receptacle of a type; in two of types joined by "&", in none if it is ""."""
        receptacles = self._receptacles(place)
        traits = set(self.table.traits[name])
        if "coolable" in traits and place == "Fridge" and name == self.task.wish.object_type:
            traits.add("isCool")
        location = receptacles[0].location if receptacles else start_location(self.task.room, self.draw)
        return Thing(
            self._id(name, receptacles), f"{name}Type", location, tuple(r.id for r in receptacles), frozenset(traits)
        )

    def _number_of(self, name: str) -> int:
        if name == self.task.wish.object_type:
            return weighted(self.draw, self.table.instances[self.task.task_type])
        histogram = self.table.counts[self.task.room.kind].get(name)
        return weighted(self.draw, histogram) if histogram else 1

    def _receptacles(self, place: str) -> list[Receptacle]:
        chosen: list[Receptacle] = []
        for name in place.split("&") if place else ():
            left = [receptacle for receptacle in self.by_type[name] if receptacle not in chosen]
            chosen += [self.draw.choice(left)] if left else []
        return chosen

    def _id(self, name: str, receptacles: Sequence[Receptacle]) -> str:
        """Makes up an id near the receptacle's own position, as the simulator's ids hold positions."""
        anchor = receptacles[0] if receptacles else self.draw.choice(self.receptacles)
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

    def _nest(self, things: list[Thing]) -> None:
        """Lets a few objects lie inside another one in the same receptacle, out of which they can still be taken."""
        for outer, thing in enumerate(things):
            allowed = self.table.can_contain.get(thing.type.removesuffix("Type"), frozenset())
            if "isReceptacleObject" not in thing.traits or len(thing.receptacles) != 1:
                continue
            inside = tuple(
                other.id
                for other in things
                if other.receptacles == thing.receptacles
                and other.type.removesuffix("Type") in allowed
                and other.id != thing.id
                and thing.id not in other.contains
                and self.draw.random() < self.table.contained
            )
            things[outer] = thing._replace(contains=inside)


def _position(id: str) -> tuple[float, float, float]:
    """Reads the position that an entity id states."""
    parts = id.replace("_minus_", "-").replace("_plus_", "+").replace("_dot_", ".").split("_bar_")
    return float(parts[1]), float(parts[2]), float(parts[3])
