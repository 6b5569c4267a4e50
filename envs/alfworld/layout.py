"""One game compiled for play: names, indices and everything that never changes while it is played.

Objects and receptacles become small integers in ascending order of their lower-case ids, which is the order in which
the stock engine lists them, so lists need no sorting later. A `Layout` is never changed and is shared by all worlds
that play the game.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from envs.alfworld.dialects import PUBLISHED, Dialect
from envs.alfworld.problem import Problem

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
    kinds = {}
    for entity in sorted(set(ids)):
        kind, bar, _ = entity.partition("_bar_")
        kinds[entity] = f"{kind}basin" if bar and "basin" in entity else kind if bar else ""
    left = Counter(kinds.values())
    names = {}
    for entity, kind in kinds.items():
        names[entity] = f"{kind} {left[kind]}" if kind else f"{entity} "
        left[kind] -= 1
    return names


class Layout:
    """A compiled `Problem`. Axes: R receptacles, O objects, L locations, each in ascending order of id.

    Attributes:
        problem: what was compiled.
        dialect: how this game words things.
        receptacle_names, receptacle_types, openable: (R,).
        receptacle_location: (R,) location of each.
        ways: (R,) the command that goes there.
        object_names, object_types, traits: (O,).
        inside: (O,) the objects in a container object.
        sliceable: the objects that can be sliced.
        receptacles_at: (L,) the receptacles there.
        location_names: (L,).
        start: location of the agent at the start.
        first_contents: (R,) objects at the start.
        first_locations: (O,) locations at the start, at most one each.
        first_opened: receptacles that start open.
        first_clean, first_hot, first_cool, first_toggled, first_sliced: objects that start so.
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
        receptacles = sorted(problem.receptacles, key=lambda receptacle: receptacle.id.lower())
        objects = sorted(problem.things, key=lambda thing: thing.id.lower())
        places = {receptacle.location for receptacle in receptacles} | {thing.location for thing in objects}
        locations = {location: index for index, location in enumerate(sorted((places | {problem.start}) - {""}))}
        entities = [*locations, *(receptacle.id for receptacle in receptacles), *(thing.id for thing in objects)]
        names = spoken_names(entity.lower() for entity in entities)
        self.location_names = tuple(names[location.lower()] for location in locations)
        self.start = locations[problem.start]

        self.receptacle_names = tuple(names[receptacle.id.lower()] for receptacle in receptacles)
        self.receptacle_types = tuple(receptacle.type for receptacle in receptacles)
        self.receptacle_location = tuple(locations[receptacle.location] for receptacle in receptacles)
        self.openable = tuple(receptacle.openable for receptacle in receptacles)
        self.ways = tuple(f"go to {name}" for name in self.receptacle_names)
        standing: list[list[int]] = [[] for _ in locations]
        for index, location in enumerate(self.receptacle_location):
            standing[location].append(index)
        self.receptacles_at = tuple(map(tuple, standing))
        self.first_opened = frozenset(index for index, receptacle in enumerate(receptacles) if receptacle.opened)

        self.object_names = tuple(names[thing.id.lower()] for thing in objects)
        self.object_types = tuple(thing.type for thing in objects)
        self.traits = tuple(thing.traits for thing in objects)
        self.first_locations = tuple(
            frozenset({locations[thing.location]} if thing.location else ()) for thing in objects
        )
        self._fill([receptacle.id for receptacle in receptacles])
        self.sliceable = sorted(self._having("sliceable"))
        self.first_clean = self._having("isClean")
        self.first_hot = self._having("isHot")
        self.first_cool = self._having("isCool")
        self.first_toggled = self._having("isToggled")
        self.first_sliced = self._having("isSliced")
        self._aim()

    def can_put(self, thing: int, receptacle: int) -> bool:
        """Whether a receptacle's type can contain an object's type."""
        return (self.receptacle_types[receptacle], self.object_types[thing]) in self.problem.can_contain

    def _fill(self, receptacles: list[str]) -> None:
        """Compiles what is in what."""
        objects = sorted(self.problem.things, key=lambda thing: thing.id.lower())
        index_of = {thing.id: index for index, thing in enumerate(objects)}
        contents: dict[str, list[int]] = {receptacle: [] for receptacle in receptacles}
        for index, thing in enumerate(objects):
            for receptacle in thing.receptacles:
                contents[receptacle].append(index)
        self.first_contents = tuple(map(tuple, contents.values()))
        self.inside = tuple(tuple(sorted(index_of[inner] for inner in thing.contains)) for thing in objects)

    def _aim(self) -> None:
        """Compiles the goal."""
        goal = self.problem.goal
        kind = frozenset(index for index, name in enumerate(self.object_types) if name == goal.object_type)
        treatable = TREATABLE.get(goal.task_type)
        self.goal_objects = kind & self._having(treatable) if treatable else kind
        self.goal_receptacles = tuple(
            index for index, name in enumerate(self.receptacle_types) if name == goal.target_type
        )
        lamps = frozenset(index for index, name in enumerate(self.object_types) if name == goal.target_type)
        self.goal_lamps = lamps & self._having("toggleable")

    def _having(self, trait: str) -> frozenset[int]:
        return frozenset(index for index, traits in enumerate(self.traits) if trait in traits)
