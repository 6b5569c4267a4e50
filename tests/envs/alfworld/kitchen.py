"""A kitchen made by hand, small enough to know by heart, with one of everything that the rules speak of."""

from __future__ import annotations

from envs.alfworld.problem import Goal, Problem, Receptacle, Thing

CAN_CONTAIN = {
    ("CounterTopType", "AppleType"),
    ("CounterTopType", "MugType"),
    ("CounterTopType", "KnifeType"),
    ("FridgeType", "AppleType"),
    ("FridgeType", "MugType"),
    ("CabinetType", "MugType"),
    ("ShelfType", "MugType"),
    ("SideTableType", "DeskLampType"),
}

RECEPTACLES = (
    Receptacle("Fridge_bar_1", "FridgeType", "loc_bar_2", openable=True),
    Receptacle("CounterTop_bar_1", "CounterTopType", "loc_bar_3"),
    Receptacle("Shelf_bar_1", "ShelfType", "loc_bar_3"),
    Receptacle("Sink_bar_1_bar_SinkBasin", "SinkBasinType", "loc_bar_4"),
    Receptacle("Microwave_bar_1", "MicrowaveType", "loc_bar_5", openable=True),
    Receptacle("Cabinet_bar_1", "CabinetType", "loc_bar_6", openable=True, opened=True),
    Receptacle("Cabinet_bar_2", "CabinetType", "loc_bar_7", openable=True),
    Receptacle("SideTable_bar_1", "SideTableType", "loc_bar_8"),
)


def thing(name: str, location: str, receptacles: tuple[str, ...], traits: str, contains: tuple[str, ...] = ()) -> Thing:
    kind = f"{name.partition('_bar_')[0]}Type"
    return Thing(name, kind, location, receptacles, frozenset(traits.split()), contains)


THINGS = (
    thing("Apple_bar_1", "loc_bar_2", ("Fridge_bar_1",), "pickupable cleanable heatable coolable sliceable"),
    thing("Apple_bar_2", "loc_bar_3", ("CounterTop_bar_1",), "pickupable cleanable heatable coolable sliceable"),
    thing("Mug_bar_1", "loc_bar_3", ("CounterTop_bar_1",), "pickupable cleanable heatable coolable"),
    thing(
        "Mug_bar_2",
        "loc_bar_3",
        ("CounterTop_bar_1", "Cabinet_bar_1"),
        "pickupable isReceptacleObject",
        ("Spoon_bar_1",),
    ),
    thing("Spoon_bar_1", "loc_bar_3", (), "pickupable"),
    thing("Knife_bar_1", "loc_bar_3", ("CounterTop_bar_1",), "pickupable"),
    thing("DeskLamp_bar_1", "loc_bar_8", ("SideTable_bar_1",), "toggleable"),
    # An object without a type still counts when the mugs are numbered.
    Thing("Mug_bar_3_bar_Broken", "", "", (), frozenset({"pickupable"})),
)


def kitchen(
    task_type: str = "pick_and_place_simple", object_type: str = "MugType", target: str = "ShelfType"
) -> Problem:
    """The kitchen with a goal of choice. The agent starts away from everything."""
    return Problem(
        name="kitchen",
        start="loc_bar_1",
        receptacles=RECEPTACLES,
        things=THINGS,
        can_contain=frozenset(CAN_CONTAIN),
        goal=Goal(task_type, object_type, target),
        sentence="put a mug on shelf.",
    )
