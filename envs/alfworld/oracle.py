"""The oracle: shortest plans made with full knowledge of a game, from its start or from any later state.

It tries every choice of object, place to take it from, appliance and target, and keeps the shortest list of commands.
Every way takes one command, so only what stands together and what is closed tells plans apart; a thing in the hand that
the task has no use for is put down first. Left out: plans that close, slice or move other things, which none of the six
task types needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

from envs.alfworld.layout import Layout
from envs.alfworld.rules import FRIDGES, MICROWAVES
from envs.alfworld.state import State
from envs.errors import InputError, shortened

APPLIANCES = {
    "pick_clean_then_place_in_recep": "clean",
    "pick_heat_then_place_in_recep": "heat",
    "pick_cool_then_place_in_recep": "cool",
}
"""By task type: the verb of its treatment."""

_MOST_WAYS = 300_000


class _Draft(NamedTuple):
    """A plan in the making.

    Attributes:
        location: where the agent would be.
        held: what it would hold, or None.
        opened: the receptacles that would be open.
        commands: the plan so far.
    """

    location: int
    held: int | None
    opened: frozenset[int]
    commands: tuple[str, ...] = ()

    def said(self, command: str) -> _Draft:
        """Returns the draft with one more command."""
        return self._replace(commands=(*self.commands, command))


def plan(layout: Layout) -> tuple[str, ...] | None:
    """Plans a game from its start; see `plan_from`."""
    return plan_from(State(layout))


def plan_from(state: State) -> tuple[str, ...] | None:
    """Plans a game from a state.

    Args:
        state: where the game stands; it is not changed.

    Returns:
        A shortest list of commands that wins it, empty if it is won; None if it cannot be won.

    Raises:
        InputError: there are more ways to try than any published game has.
    """
    if state.goal_holds():
        return ()
    shortest: tuple[str, ...] | None = None
    for number, draft in enumerate(_Planner(state).drafts()):
        if number > _MOST_WAYS:
            raise InputError(f"the game {shortened(state.layout.name)} has too many ways to plan it.")
        if shortest is None or len(draft.commands) < len(shortest):
            shortest = draft.commands
    return shortest


class _Planner:
    """Tries all ways from one state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.layout = state.layout
        self.task_type = state.layout.goal.task_type
        self.verb = APPLIANCES.get(self.task_type)
        treated = {"clean": state.clean, "heat": state.hot, "cool": state.cool}
        self.ready = self.layout.goal_objects & treated[self.verb] if self.verb else self.layout.goal_objects
        self.sources: dict[int, list[int]] = {}
        for place, items in enumerate(state.contents):
            for item in items:
                if item in self.layout.goal_objects and "pickupable" in self.layout.traits[item]:
                    self.sources.setdefault(item, []).append(place)

    def drafts(self) -> Iterator[_Draft]:
        """Yields a draft for every way worth trying."""
        for begun in self._beginnings():
            yield from self._looks(begun) if self.task_type == "look_at_obj_in_light" else self._placements(begun)

    def _beginnings(self) -> Iterator[_Draft]:
        """Yields the ways to begin: with what is held, and with empty hands.

        Among the places to put a thing down only those here, where the next thing may be taken, or among the targets
        can save a command; of the others one is enough.
        """
        state, layout, held = self.state, self.layout, self.state.held
        begun = _Draft(state.location, held, frozenset(state.opened))
        if held is None or held in layout.goal_objects:
            yield begun
        if held is None:
            return
        sources = {layout.receptacle_location[place] for places in self.sources.values() for place in places}
        elsewhere: list[_Draft] = []
        for place, location in enumerate(layout.receptacle_location):
            if layout.can_put(held, place):
                draft = self._put(begun, held, place)
                if location == state.location or location in sources or place in layout.goal_receptacles:
                    yield draft
                else:
                    elsewhere.append(draft)
        yield from sorted(elsewhere, key=lambda draft: len(draft.commands))[:1]

    def _looks(self, begun: _Draft) -> Iterator[_Draft]:
        contents = self.state.contents
        lamps = self.layout.goal_lamps
        lit = [(lamp, place) for place, items in enumerate(contents) for lamp in items if lamp in lamps]
        for item in self._distinct(self.layout.goal_objects, 1):
            for taken, _ in self._take(begun, item):
                for lamp, place in lit:
                    draft = self._go(taken, place)
                    on = lamp in self.state.toggled
                    yield draft if on else draft.said(f"use {self.layout.object_names[lamp]}")

    def _placements(self, begun: _Draft) -> Iterator[_Draft]:
        needed = 2 if self.task_type == "pick_two_obj_and_place" else 1
        for target in self.layout.goal_receptacles:
            there = self.ready.intersection(self.state.contents[target])
            missing = max(needed - len(there), 0)
            absent = [item for item in self.layout.goal_objects - there if self.layout.can_put(item, target)]
            for chosen in permutations(self._distinct(absent, missing), missing):
                yield from self._deliver(begun, chosen, target)

    def _deliver(self, begun: _Draft, items: Sequence[int], target: int) -> Iterator[_Draft]:
        """Yields every way to bring objects to the target one after another."""
        if not items:
            yield begun
            return
        item = items[0]
        for taken, source in self._take(begun, item):
            for draft in self._treat(taken, item):
                # What lies in two receptacles stays in the other when it is taken out of one.
                stays = source != target and item in self.state.contents[target]
                yield from self._deliver(draft if stays else self._put(draft, item, target), items[1:], target)

    def _distinct(self, items: Iterable[int], number: int) -> list[int]:
        """Leaves out objects that lie and count like others, but for as many as are needed."""
        alike: Counter[tuple[object, ...]] = Counter()
        chosen = []
        for item in sorted(items):
            held, sources = item == self.state.held, self.sources.get(item, ())
            sort = (held, item in self.ready, *sources)
            if (held or sources) and alike[sort] < number:
                alike[sort] += 1
                chosen.append(item)
        return chosen

    def _go(self, draft: _Draft, place: int) -> _Draft:
        location = self.layout.receptacle_location[place]
        return draft if draft.location == location else draft.said(self.layout.ways[place])._replace(location=location)

    def _reach(self, draft: _Draft, place: int) -> _Draft:
        """Goes to a receptacle and opens it if it is closed."""
        draft = self._go(draft, place)
        if not self.layout.openable[place] or place in draft.opened:
            return draft
        return draft.said(f"open {self.layout.receptacle_names[place]}")._replace(opened=draft.opened | {place})

    def _take(self, draft: _Draft, item: int) -> Iterator[tuple[_Draft, int | None]]:
        """Yields the ways to have an object in the hand, with the place it was taken out of."""
        if draft.held == item:
            yield draft, None
        elif draft.held is None:
            for place in self.sources.get(item, ()):
                names = self.layout.object_names[item], self.layout.receptacle_names[place]
                yield self._reach(draft, place).said(f"take {names[0]} from {names[1]}")._replace(held=item), place

    def _put(self, draft: _Draft, item: int, place: int) -> _Draft:
        names = self.layout.object_names[item], self.layout.receptacle_names[place]
        return self._reach(draft, place).said(self.layout.dialect.put_command(*names))._replace(held=None)

    def _treat(self, draft: _Draft, item: int) -> Iterator[_Draft]:
        """Yields the ways to have an object treated as the task asks."""
        if self.verb is None or item in self.ready:
            yield draft
            return
        kinds = {"clean": self.layout.dialect.sinks, "heat": MICROWAVES, "cool": FRIDGES}[self.verb]
        for place, kind in enumerate(self.layout.receptacle_types):
            if kind in kinds:
                names = self.layout.object_names[item], self.layout.receptacle_names[place]
                yield self._go(draft, place).said(f"{self.verb} {names[0]} with {names[1]}")
