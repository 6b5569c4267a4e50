"""The oracle: shortest plans made with full knowledge of a game.

It tries every choice of object, place to take it from, appliance and target, and keeps the shortest list of commands.
Left out: plans that need closing, slicing or moving other things, which none of the six task types does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from envs.alfworld.layout import Layout

APPLIANCES = {
    "pick_clean_then_place_in_recep": ("clean", "isClean"),
    "pick_heat_then_place_in_recep": ("heat", "isHot"),
    "pick_cool_then_place_in_recep": ("cool", "isCool"),
}
"""By task type: the verb and the trait it gives."""


class _Draft:
    """A plan in the making: where the agent would be, what would be open, and the commands so far."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.location = layout.start
        self.opened = set(layout.first_opened)
        self.commands: list[str] = []

    def go(self, receptacle: int) -> None:
        """Goes to a receptacle unless already at its location."""
        if self.location != self.layout.receptacle_location[receptacle]:
            self.commands.append(f"go to {self.layout.receptacle_names[receptacle]}")
            self.location = self.layout.receptacle_location[receptacle]

    def reach(self, receptacle: int) -> None:
        """Goes to a receptacle and opens it if it is closed."""
        self.go(receptacle)
        if self.layout.openable[receptacle] and receptacle not in self.opened:
            self.commands.append(f"open {self.layout.receptacle_names[receptacle]}")
            self.opened.add(receptacle)

    def take(self, item: int, receptacle: int) -> None:
        """Takes an object out of a receptacle."""
        self.reach(receptacle)
        self.commands.append(f"take {self.layout.object_names[item]} from {self.layout.receptacle_names[receptacle]}")

    def put(self, item: int, receptacle: int) -> None:
        """Puts the object held into a receptacle."""
        self.reach(receptacle)
        names = self.layout.object_names[item], self.layout.receptacle_names[receptacle]
        self.commands.append(self.layout.dialect.put_command(*names))


def plan(layout: Layout) -> tuple[str, ...] | None:
    """Plans a game from its start.

    Args:
        layout: the compiled game.

    Returns:
        The shortest list of commands that wins it; None if it cannot be won.
    """
    drafts = _looks(layout) if layout.problem.goal.task_type == "look_at_obj_in_light" else _placements(layout)
    shortest = min(drafts, key=lambda draft: len(draft.commands), default=None)
    return None if shortest is None else tuple(shortest.commands)


def _sources(layout: Layout, item: int) -> list[int]:
    """Returns the receptacles out of which an object can be taken at the start."""
    if "pickupable" not in layout.traits[item]:
        return []
    return [receptacle for receptacle, items in enumerate(layout.first_contents) if item in items]


def _looks(layout: Layout) -> Iterator[_Draft]:
    contents = layout.first_contents
    lamps = [(lamp, place) for place, items in enumerate(contents) for lamp in items if lamp in layout.goal_lamps]
    for item in sorted(layout.goal_objects):
        for source in _sources(layout, item):
            for lamp, place in lamps:
                draft = _Draft(layout)
                draft.take(item, source)
                draft.go(place)
                if lamp not in layout.first_toggled:
                    draft.commands.append(f"use {layout.object_names[lamp]}")
                yield draft


def _placements(layout: Layout) -> Iterator[_Draft]:
    needed = 2 if layout.problem.goal.task_type == "pick_two_obj_and_place" else 1
    for target in layout.goal_receptacles:
        there = [item for item in layout.first_contents[target] if _is_ready(layout, item)]
        missing = max(needed - len(there), 0)
        absent = sorted(layout.goal_objects.difference(there))
        candidates = [item for item in absent if layout.can_put(item, target)]
        for chosen in permutations(candidates, missing):
            yield from _deliveries(layout, chosen, target)


def _is_ready(layout: Layout, item: int) -> bool:
    """Whether an object would count for the goal as it is at the start."""
    treatment = APPLIANCES.get(layout.problem.goal.task_type)
    return item in layout.goal_objects and (treatment is None or treatment[1] in layout.traits[item])


def _deliveries(layout: Layout, chosen: tuple[int, ...], target: int) -> Iterator[_Draft]:
    """Yields a draft for each way to bring the chosen objects to the target one after another."""
    drafts = [_Draft(layout)]
    for item in chosen:
        grown = []
        for draft in drafts:
            for source in _sources(layout, item):
                for appliance in _appliances(layout, item):
                    longer = _copy(draft)
                    longer.take(item, source)
                    if appliance is not None:
                        verb = APPLIANCES[layout.problem.goal.task_type][0]
                        longer.go(appliance)
                        names = layout.object_names[item], layout.receptacle_names[appliance]
                        longer.commands.append(f"{verb} {names[0]} with {names[1]}")
                    # What lies in two receptacles stays in the other when it is taken out of one.
                    if source == target or item not in layout.first_contents[target]:
                        longer.put(item, target)
                    grown.append(longer)
        drafts = grown
    yield from drafts


def _appliances(layout: Layout, item: int) -> list[int | None]:
    """Returns where an object can be treated; [None] if it needs no treatment."""
    if _is_ready(layout, item):
        return [None]
    kinds = {
        "clean": layout.dialect.sinks,
        "heat": frozenset({"MicrowaveType"}),
        "cool": frozenset({"FridgeType"}),
    }[APPLIANCES[layout.problem.goal.task_type][0]]
    return [index for index, kind in enumerate(layout.receptacle_types) if kind in kinds]


def _copy(draft: _Draft) -> _Draft:
    copy = _Draft(draft.layout)
    copy.location = draft.location
    copy.opened = set(draft.opened)
    copy.commands = list(draft.commands)
    return copy
