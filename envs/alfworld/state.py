"""What can change while a game is played, and the goal."""

from __future__ import annotations

from collections.abc import Collection

from envs.alfworld.layout import Layout


class State:
    """The state of one game. Objects, receptacles and locations are indices into the layout's sorted lists.

    Sets and tuples are replaced, never changed, so that a start costs little and worlds can share the layout's.

    Attributes:
        layout: the compiled game.
        location: where the agent is.
        here: the receptacles there.
        held: the object held, or None.
        contents: (R,) the objects in each receptacle, ascending.
        opened: the receptacles that are open.
        clean, hot, cool, toggled, sliced: the objects that are so.
        moved: by object that was ever taken: the locations it counts as being at (the domain's `objectAtLocation`). A
            thing that starts in two receptacles can stay at one place while it is put at another.
        taken_from: by object that was ever taken: the receptacles it was taken out of and is not back in (the stock
            engine's `not_inReceptacle`).
    """

    def __init__(self, layout: Layout) -> None:
        """Starts the game.

        Args:
            layout: the compiled game.
        """
        self.layout = layout
        self.go_to(layout.start)
        self.held: int | None = None
        self.contents = list(layout.first_contents)
        self.opened = layout.first_opened
        self.clean = layout.first_clean
        self.hot = layout.first_hot
        self.cool = layout.first_cool
        self.toggled = layout.first_toggled
        self.sliced = layout.first_sliced
        self.moved: dict[int, frozenset[int]] = {}
        self.taken_from: dict[int, frozenset[int]] = {}

    def go_to(self, location: int) -> None:
        """Moves the agent."""
        self.location = location
        self.here = self.layout.receptacles_at[location]

    def reachable(self) -> list[int]:
        """Returns the receptacles here whose inside can be reached."""
        openable, opened = self.layout.openable, self.opened
        return [receptacle for receptacle in self.here if not openable[receptacle] or receptacle in opened]

    def locations_of(self, thing: int) -> frozenset[int]:
        """Returns the locations that an object counts as being at."""
        return self.moved.get(thing, self.layout.first_locations[thing])

    def key(self) -> str:
        """Names this state: after equal keys of one game equal commands are answered equally."""
        layout = self.layout
        names, places = layout.object_names, layout.receptacle_names
        conditions = (self.clean, self.hot, self.cool, self.toggled, self.sliced)
        contents = [
            f"{places[receptacle]}: {_joined(names, things)}"
            for receptacle, things in enumerate(self.contents)
            if things is not layout.first_contents[receptacle] and things != layout.first_contents[receptacle]
        ]
        histories = [
            f"{names[thing]}: {sorted(locations)} {sorted(self.taken_from[thing])}"
            for thing, locations in sorted(self.moved.items())
            if locations != layout.first_locations[thing] or self.taken_from[thing]
        ]
        parts = [
            f"at {self.location} with {'nothing' if self.held is None else names[self.held]}",
            _joined(places, self.opened),
            *[_joined(names, things) for things in conditions],
            *contents,
            *histories,
        ]
        return "; ".join(parts)

    def goal_holds(self) -> bool:
        """Whether the goal holds now."""
        layout = self.layout
        task_type = layout.goal.task_type
        if task_type == "look_at_obj_in_light":
            return self._looks_in_light()
        wanted = layout.goal_objects
        if task_type == "pick_clean_then_place_in_recep":
            wanted &= self.clean
        elif task_type == "pick_heat_then_place_in_recep":
            wanted &= self.hot
        elif task_type == "pick_cool_then_place_in_recep":
            wanted &= self.cool
        needed = 2 if task_type == "pick_two_obj_and_place" else 1
        if len(wanted) < needed:
            return False
        for receptacle in layout.goal_receptacles:
            things = self.contents[receptacle]
            if things and len(wanted.intersection(things)) >= needed:
                return True
        return False

    def _looks_in_light(self) -> bool:
        lit = self.layout.goal_lamps & self.toggled
        return (
            bool(lit)
            and self.held in self.layout.goal_objects
            and not all(lit.isdisjoint(self.contents[receptacle]) for receptacle in self.here)
        )


def _joined(names: tuple[str, ...], indices: Collection[int]) -> str:
    return ", ".join([names[index] for index in sorted(indices)]) if indices else ""
