"""What can change while a game is played, and the goal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envs.alfworld.layout import Layout


class State:
    """The state of one game. Objects, receptacles and locations are indices into the layout's sorted lists.

    Attributes:
        layout: the compiled game.
        location: where the agent is.
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
        self.location = layout.start
        self.held: int | None = None
        self.contents = list(map(list, layout.first_contents))
        self.opened = set(layout.first_opened)
        self.clean = set(layout.first_clean)
        self.hot = set(layout.first_hot)
        self.cool = set(layout.first_cool)
        self.toggled = set(layout.first_toggled)
        self.sliced = set(layout.first_sliced)
        self.moved: dict[int, frozenset[int]] = {}
        self.taken_from: dict[int, frozenset[int]] = {}

    def here(self) -> tuple[int, ...]:
        """Returns the receptacles at the agent's location."""
        return self.layout.receptacles_at[self.location]

    def reachable(self) -> Iterator[int]:
        """Yields the receptacles here whose inside can be reached."""
        for receptacle in self.here():
            if not self.layout.openable[receptacle] or receptacle in self.opened:
                yield receptacle

    def locations_of(self, thing: int) -> frozenset[int]:
        """Returns the locations that an object counts as being at."""
        return self.moved.get(thing, self.layout.first_locations[thing])

    def key(self) -> str:
        """Names this state: after equal keys of one game equal commands are answered equally."""
        layout = self.layout
        contents = (
            f"{layout.receptacle_names[receptacle]}: {_joined(layout.object_names, things)}"
            for receptacle, things in enumerate(self.contents)
            if tuple(things) != layout.first_contents[receptacle]
        )
        conditions = (self.clean, self.hot, self.cool, self.toggled, self.sliced)
        histories = (
            f"{layout.object_names[thing]}: {sorted(locations)} {sorted(self.taken_from[thing])}"
            for thing, locations in sorted(self.moved.items())
            if locations != layout.first_locations[thing] or self.taken_from[thing]
        )
        return "; ".join(
            [
                f"at {self.location} with {'nothing' if self.held is None else layout.object_names[self.held]}",
                _joined(layout.receptacle_names, self.opened),
                *(_joined(layout.object_names, things) for things in conditions),
                *contents,
                *histories,
            ]
        )

    def goal_holds(self) -> bool:
        """Whether the goal holds now."""
        task_type = self.layout.problem.goal.task_type
        if task_type == "look_at_obj_in_light":
            return self._looks_in_light()
        wanted: frozenset[int] = self.layout.goal_objects
        if task_type == "pick_clean_then_place_in_recep":
            wanted = wanted & self.clean
        elif task_type == "pick_heat_then_place_in_recep":
            wanted = wanted & self.hot
        elif task_type == "pick_cool_then_place_in_recep":
            wanted = wanted & self.cool
        needed = 2 if task_type == "pick_two_obj_and_place" else 1
        if len(wanted) < needed:
            return False
        return any(len(wanted.intersection(self.contents[place])) >= needed for place in self.layout.goal_receptacles)

    def _looks_in_light(self) -> bool:
        lit = self.layout.goal_lamps & self.toggled
        return (
            bool(lit)
            and self.held in self.layout.goal_objects
            and not all(lit.isdisjoint(self.contents[receptacle]) for receptacle in self.here())
        )


def _joined(names: tuple[str, ...], indices: Iterable[int]) -> str:
    return ", ".join(names[index] for index in sorted(indices))
