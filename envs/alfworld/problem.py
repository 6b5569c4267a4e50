"""A household problem as plain facts: what a `game.tw-pddl` file states, and what the generator makes.

Ids are the raw entity ids of the PDDL text (for example `Mug_bar__minus_02_dot_53_...`), types its type names
(`MugType`, `DeskType`). Nothing here knows the rules or the wording of the game.
"""

from __future__ import annotations

from typing import NamedTuple


class Receptacle(NamedTuple):
    """A place that can hold objects.

    Attributes:
        id: raw entity id.
        type: receptacle type, for example "CabinetType".
        location: the one location id it stands at (`receptacleAtLocation`).
        openable: whether it has a door or lid (`openable`).
        opened: whether it starts open (`opened`).
    """

    id: str
    type: str
    location: str
    openable: bool = False
    opened: bool = False


class Thing(NamedTuple):
    """An object (PDDL type `object`).

    Attributes:
        id: raw entity id.
        type: object type, for example "MugType"; "" if the file states none.
        location: location id (`objectAtLocation`); "" if the file states none.
        receptacles: ids of the receptacles it starts in (`inReceptacle`): usually one, sometimes none or two.
        traits: the true unary predicates, among "pickupable", "isReceptacleObject", "cleanable", "heatable",
            "coolable", "toggleable", "sliceable", "isClean", "isHot", "isCool", "isOn", "isToggled", "isSliced",
            "moveable".
        contains: ids of the objects inside it (`inReceptacleObject`).
    """

    id: str
    type: str
    location: str
    receptacles: tuple[str, ...]
    traits: frozenset[str]
    contains: tuple[str, ...] = ()


class Goal(NamedTuple):
    """What wins the game.

    Attributes:
        task_type: one of ALFWorld's six names ("pick_and_place_simple", "look_at_obj_in_light",
            "pick_clean_then_place_in_recep", "pick_heat_then_place_in_recep", "pick_cool_then_place_in_recep",
            "pick_two_obj_and_place").
        object_type: the type to bring or hold, for example "MugType".
        target_type: the receptacle type to bring it to, or the lamp's object type in look_at_obj_in_light.
    """

    task_type: str
    object_type: str
    target_type: str


class Problem(NamedTuple):
    """One game's facts.

    Attributes:
        name: the PDDL problem's name.
        start: the location id where the agent starts.
        receptacles: all receptacles, in file order.
        things: all objects, in file order; one without a type fact has the type "".
        can_contain: pairs (receptacle type, object type) (`canContain`).
        goal: what wins.
        sentence: the task line as the agent reads it, without "Your task is to: ", for example "put a mug in desk.".
    """

    name: str
    start: str
    receptacles: tuple[Receptacle, ...]
    things: tuple[Thing, ...]
    can_contain: frozenset[tuple[str, str]]
    goal: Goal
    sentence: str
