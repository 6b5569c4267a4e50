"""One game compiled for play: names, indices and everything that never changes while it is played.

Objects and receptacles become small integers in ascending order of their lower-case ids, which is the order in which
the stock engine lists them, so lists need no sorting later. A `Layout` is never changed and is shared by all worlds
that play the game.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter

from envs.alfworld.dialects import PUBLISHED, Dialect
from envs.alfworld.problem import Problem, Receptacle, Thing

TREATABLE = {
    "pick_clean_then_place_in_recep": "cleanable",
    "pick_heat_then_place_in_recep": "heatable",
    "pick_cool_then_place_in_recep": "coolable",
}
"""By task type: the trait that an object needs to count for the goal."""


def spoken_names(ids: Iterable[str]) -> dict[str, str]:
    """Gives every entity the name that the game calls it by.

    The kind is what stands before the first `_bar_` ("mug"), followed by "basin" where that word occurs anywhere in the
    id. Entities of one kind are numbered from their count down to 1 in ascending order of id.

    Args:
        ids: lower-case ids of all entities that occur in any fact.

    Returns:
        Name by id. An id without `_bar_` is its own name, without a number (the space before it stays).
    """
    names: dict[str, str] = {}
    seen: dict[str, int] = {}
    for entity in sorted(dict.fromkeys(ids), reverse=True):
        kind, bar, _ = entity.partition("_bar_")
        if not bar:
            names[entity] = f"{entity} "
            continue
        if "basin" in entity:
            kind += "basin"
        seen[kind] = number = seen.get(kind, 0) + 1
        names[entity] = _numbered(kind, number)
    return names


@lru_cache(maxsize=1 << 12)
def _numbered(kind: str, number: int) -> str:
    """Returns one text for all games that have such a name, for thousands of them may be in memory."""
    return f"{kind} {number}"


@lru_cache(maxsize=1 << 12)
def _way(name: str) -> str:
    return f"go to {name}"


@lru_cache(maxsize=1 << 10)
def _only(location: int) -> frozenset[int]:
    return frozenset({location})


class Layout:
    """A compiled `Problem`. Axes: R receptacles, O objects, L locations, each in ascending order of id.

    Attributes:
        problem: what was compiled.
        dialect: how this game words things.
        receptacle_names, receptacle_types, openable: (R,).
        receptacle_location: (R,) location of each.
        ways: (R,) the command that goes there.
        destinations: command that goes somewhere -> (receptacle,), in ascending order of command.
        object_names, object_types, traits, pickupable, toggleable: (O,).
        inside: (O,) the objects in a container object.
        sliceable: the objects that can be sliced.
        receptacles_at: (L,) the receptacles there.
        doors_at: (L,) those that can be opened.
        types_at: (L,) the types of all.
        location_names: (L,).
        start: location of the agent at the start.
        first_contents: (R,) objects at the start.
        first_locations: (O,) locations at the start, at most one each.
        first_opened: receptacles that start open.
        first_clean, first_hot, first_cool, first_toggled, first_sliced: objects that start so.
        task_type: the goal's.
        goal_receptacles: receptacles of the goal's target type.
        goal_objects: objects of the goal's object type that can be treated as the goal asks.
        goal_lamps: toggleable objects of the goal's target type.
    """

    def __init__(self, problem: Problem, dialect: Dialect = PUBLISHED) -> None:
        """Compiles a problem.

        Args:
            problem: the game's facts.
            dialect: how it words things.
        """
        self.problem = problem
        self.dialect = dialect
        receptacles = {receptacle.id.lower(): receptacle for receptacle in problem.receptacles}
        objects = {thing.id.lower(): thing for thing in problem.things}
        places = {place.location for place in problem.receptacles} | {thing.location for thing in problem.things}
        locations = {location: index for index, location in enumerate(sorted((places | {problem.start}) - {""}))}
        names = spoken_names([*map(str.lower, locations), *receptacles, *objects])
        self.location_names = tuple([names[location.lower()] for location in locations])
        self.start = locations[problem.start]
        order = sorted(receptacles)
        self.receptacle_names = tuple([names[entity] for entity in order])
        self._place([receptacles[entity] for entity in order], locations)
        order = sorted(objects)
        self.object_names = tuple([names[entity] for entity in order])
        self._describe([objects[entity] for entity in order], locations)
        self._fill([receptacles[entity] for entity in sorted(receptacles)], [objects[entity] for entity in order])
        self._aim()

    def can_put(self, thing: int, receptacle: int) -> bool:
        """Whether a receptacle's type can contain an object's type."""
        return (self.receptacle_types[receptacle], self.object_types[thing]) in self.problem.can_contain

    def _place(self, receptacles: list[Receptacle], locations: dict[str, int]) -> None:
        """Compiles the receptacles and what is in them."""
        self.receptacle_types = tuple([receptacle.type for receptacle in receptacles])
        self.receptacle_location = tuple([locations[receptacle.location] for receptacle in receptacles])
        self.openable = tuple([receptacle.openable for receptacle in receptacles])
        self.first_opened = frozenset([index for index, receptacle in enumerate(receptacles) if receptacle.opened])
        self.ways = tuple([_way(name) for name in self.receptacle_names])
        self.destinations = {way: (index,) for index, way in sorted(enumerate(self.ways), key=itemgetter(1))}
        standing: list[list[int]] = [[] for _ in locations]
        for index, location in enumerate(self.receptacle_location):
            standing[location].append(index)
        self.receptacles_at = tuple(map(tuple, standing))
        self.doors_at = tuple([tuple([place for place in places if self.openable[place]]) for places in standing])
        self.types_at = tuple([tuple([self.receptacle_types[place] for place in places]) for places in standing])

    def _describe(self, objects: list[Thing], locations: dict[str, int]) -> None:
        """Compiles the objects."""
        self.object_types = tuple([thing.type for thing in objects])
        self.traits = tuple([thing.traits for thing in objects])
        self.pickupable = tuple(["pickupable" in traits for traits in self.traits])
        self.toggleable = tuple(["toggleable" in traits for traits in self.traits])
        places = [_only(locations[thing.location]) if thing.location else frozenset() for thing in objects]
        self.first_locations = tuple(places)
        self.sliceable = sorted(self._having("sliceable"))
        self.first_clean = self._having("isClean")
        self.first_hot = self._having("isHot")
        self.first_cool = self._having("isCool")
        self.first_toggled = self._having("isToggled")
        self.first_sliced = self._having("isSliced")

    def _fill(self, receptacles: list[Receptacle], objects: list[Thing]) -> None:
        """Compiles what is in what."""
        contents: dict[str, list[int]] = {receptacle.id: [] for receptacle in receptacles}
        for index, thing in enumerate(objects):
            for receptacle in thing.receptacles:
                contents[receptacle].append(index)
        self.first_contents = tuple(map(tuple, contents.values()))
        index_of = {thing.id: index for index, thing in enumerate(objects)}
        self.inside = tuple([tuple(sorted([index_of[inner] for inner in thing.contains])) for thing in objects])

    def _aim(self) -> None:
        """Compiles the goal."""
        goal = self.problem.goal
        self.task_type = goal.task_type
        kind = frozenset([index for index, name in enumerate(self.object_types) if name == goal.object_type])
        treatable = TREATABLE.get(goal.task_type)
        self.goal_objects = kind & self._having(treatable) if treatable else kind
        self.goal_receptacles = tuple(
            [index for index, name in enumerate(self.receptacle_types) if name == goal.target_type]
        )
        self.goal_lamps = frozenset(
            [
                index
                for index, name in enumerate(self.object_types)
                if name == goal.target_type and self.toggleable[index]
            ]
        )

    def _having(self, trait: str) -> frozenset[int]:
        return frozenset([index for index, traits in enumerate(self.traits) if trait in traits])
