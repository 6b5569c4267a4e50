"""One game compiled for play: names, indices and everything that never changes while it is played.

Objects and receptacles become small integers in ascending order of their lower-case ids, which is the order in which
the stock engine lists them, so lists need no sorting later. That, and what everything is called, is an `Arrangement`;
it takes most of the work, and compiled games keep it on disk. A `Layout` adds what can be looked up quickly; it is
never changed and is shared by all worlds that play the game.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from envs.alfworld.dialects import PUBLISHED, Dialect
from envs.alfworld.problem import Goal, Problem

TREATABLE = {
    "pick_clean_then_place_in_recep": "cleanable",
    "pick_heat_then_place_in_recep": "heatable",
    "pick_cool_then_place_in_recep": "coolable",
}
"""By task type: the trait that an object needs to count for the goal."""


class Arrangement(NamedTuple):
    """A `Problem` in the game's own words and order. Axes: R receptacles, O objects, L locations, by ascending id.

    Attributes:
        name: the problem's name.
        sentence: the task line.
        goal: what wins.
        can_contain: pairs (receptacle type, object type).
        start: location of the agent.
        location_names: (L,).
        receptacle_names, receptacle_types: (R,).
        receptacle_location: (R,) location of each.
        openable, opened: (R,).
        object_names, object_types, traits: (O,).
        object_location: (O,) location of each, or None.
        contents: (R,) the objects in each, ascending.
        inside: (O,) the objects in a container object, ascending.
    """

    name: str
    sentence: str
    goal: Goal
    can_contain: frozenset[tuple[str, str]]
    start: int
    location_names: tuple[str, ...]
    receptacle_names: tuple[str, ...]
    receptacle_types: tuple[str, ...]
    receptacle_location: tuple[int, ...]
    openable: tuple[bool, ...]
    opened: tuple[bool, ...]
    object_names: tuple[str, ...]
    object_types: tuple[str, ...]
    traits: tuple[frozenset[str], ...]
    object_location: tuple[int | None, ...]
    contents: tuple[tuple[int, ...], ...]
    inside: tuple[tuple[int, ...], ...]


def arrange(problem: Problem) -> Arrangement:
    """Puts a problem's entities in order and names them."""
    receptacles = sorted(problem.receptacles, key=lambda receptacle: receptacle.id.lower())
    objects = sorted(problem.things, key=lambda thing: thing.id.lower())
    places = {place.location for place in receptacles} | {thing.location for thing in objects} | {problem.start}
    locations = {location: index for index, location in enumerate(sorted(places - {""}))}
    entities = [*locations, *[receptacle.id for receptacle in receptacles], *[thing.id for thing in objects]]
    names = spoken_names([entity.lower() for entity in entities])
    index_of = {thing.id: index for index, thing in enumerate(objects)}
    contents: dict[str, list[int]] = {receptacle.id: [] for receptacle in receptacles}
    for index, thing in enumerate(objects):
        for holder in thing.receptacles:
            contents[holder].append(index)
    return Arrangement(
        name=problem.name,
        sentence=problem.sentence,
        goal=problem.goal,
        can_contain=problem.can_contain,
        start=locations[problem.start],
        location_names=tuple(names[location.lower()] for location in locations),
        receptacle_names=tuple(names[receptacle.id.lower()] for receptacle in receptacles),
        receptacle_types=tuple(receptacle.type for receptacle in receptacles),
        receptacle_location=tuple(locations[receptacle.location] for receptacle in receptacles),
        openable=tuple(receptacle.openable for receptacle in receptacles),
        opened=tuple(receptacle.opened for receptacle in receptacles),
        object_names=tuple(names[thing.id.lower()] for thing in objects),
        object_types=tuple(thing.type for thing in objects),
        traits=tuple(thing.traits for thing in objects),
        object_location=tuple(locations.get(thing.location) for thing in objects),
        contents=tuple(map(tuple, contents.values())),
        inside=tuple(tuple(sorted(index_of[inner] for inner in thing.contains)) for thing in objects),
    )


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
    for entity in sorted(set(ids), reverse=True):
        kind, bar, _ = entity.partition("_bar_")
        if not bar:
            names[entity] = f"{entity} "
            continue
        if "basin" in entity:
            kind += "basin"
        seen[kind] = number = seen.get(kind, 0) + 1
        names[entity] = f"{kind} {number}"
    return names


class Layout:
    """A compiled game. Axes: R receptacles, O objects, L locations, each in ascending order of id.

    Attributes:
        dialect: how this game words things.
        name, sentence, goal: see `Arrangement`.
        receptacle_names, receptacle_types, receptacle_location, openable: (R,).
        ways: (R,) the command that goes there.
        destinations: command that goes somewhere -> (receptacle,), in ascending order of command.
        object_names, object_types, traits, pickupable, toggleable: (O,).
        inside: (O,) the objects in a container object.
        sliceable: the objects that can be sliced.
        receptacles_at: (L,) the receptacles there.
        doors_at: (L,) those that can be opened.
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

    def __init__(self, game: Problem | Arrangement, dialect: Dialect = PUBLISHED) -> None:
        """Compiles a game.

        Args:
            game: its facts.
            dialect: how it words things.
        """
        arrangement = game if isinstance(game, Arrangement) else arrange(game)
        self.dialect = dialect
        self.name, self.sentence, self.goal = arrangement.name, arrangement.sentence, arrangement.goal
        self.location_names, self.start = arrangement.location_names, arrangement.start
        self._can_contain = arrangement.can_contain
        self._place(arrangement)
        self._describe(arrangement)
        self._aim()

    def can_put(self, thing: int, receptacle: int) -> bool:
        """Whether a receptacle's type can contain an object's type."""
        return (self.receptacle_types[receptacle], self.object_types[thing]) in self._can_contain

    def _place(self, arrangement: Arrangement) -> None:
        """Compiles the receptacles."""
        self.receptacle_names, self.receptacle_types = arrangement.receptacle_names, arrangement.receptacle_types
        self.receptacle_location, self.openable = arrangement.receptacle_location, arrangement.openable
        self.first_contents = arrangement.contents
        self.first_opened = frozenset([index for index, opened in enumerate(arrangement.opened) if opened])
        self.ways = tuple(map(_way, self.receptacle_names))
        self.destinations = {way: (index,) for index, way in sorted(enumerate(self.ways), key=itemgetter(1))}
        standing: list[list[int]] = [[] for _ in self.location_names]
        doors: list[list[int]] = [[] for _ in self.location_names]
        for index, location in enumerate(self.receptacle_location):
            standing[location].append(index)
            if self.openable[index]:
                doors[location].append(index)
        self.receptacles_at, self.doors_at = tuple(map(tuple, standing)), tuple(map(tuple, doors))

    def _describe(self, arrangement: Arrangement) -> None:
        """Compiles the objects."""
        self.object_names, self.object_types = arrangement.object_names, arrangement.object_types
        self.traits, self.inside = arrangement.traits, arrangement.inside
        self.first_locations = tuple(map(_only, arrangement.object_location))
        self.pickupable = tuple(["pickupable" in traits for traits in self.traits])
        self.toggleable = tuple(["toggleable" in traits for traits in self.traits])
        self.sliceable = sorted(self._having("sliceable"))
        self.first_clean = self._having("isClean")
        self.first_hot = self._having("isHot")
        self.first_cool = self._having("isCool")
        self.first_toggled = self._having("isToggled")
        self.first_sliced = self._having("isSliced")

    def _aim(self) -> None:
        """Compiles the goal."""
        asked_for, target, treatable = self.goal.object_type, self.goal.target_type, TREATABLE.get(self.goal.task_type)
        kind = frozenset([index for index, name in enumerate(self.object_types) if name == asked_for])
        self.goal_objects = kind & self._having(treatable) if treatable else kind
        self.goal_receptacles = tuple([index for index, name in enumerate(self.receptacle_types) if name == target])
        self.goal_lamps = frozenset(
            [index for index, name in enumerate(self.object_types) if name == target and self.toggleable[index]]
        )

    def _having(self, trait: str) -> frozenset[int]:
        return frozenset([index for index, traits in enumerate(self.traits) if trait in traits])


@lru_cache(maxsize=1 << 12)
def _way(name: str) -> str:
    """Returns one text for all games that have such a place, for thousands of games may be in memory."""
    return f"go to {name}"


@lru_cache(maxsize=1 << 10)
def _only(location: int | None) -> frozenset[int]:
    return frozenset() if location is None else frozenset({location})
