"""What the game says, word for word as the stock engine says it.

The sentences are those of the grammar inside ALFWorld's game files (`alfred.twl2`; Shridhar et al., arXiv 2010.03768).
Left out: sentences for actions that the domain has commented out, and for things that are off, which nothing ever is.
"""

from __future__ import annotations

from collections.abc import Sequence

from envs.alfworld.state import State

NOTHING_HAPPENS = "Nothing happens."


def intro(state: State) -> str:
    """Returns the first text of a game. Away from all receptacles it lists those of the whole room."""
    first = look(state) if state.here else _room(state.layout.receptacle_names)
    return f"-= Welcome to TextWorld, ALFRED! =-\n\n{first}\n\nYour task is to: {state.layout.sentence}"


def look(state: State) -> str:
    """Returns what one sees from where the agent is."""
    layout, here = state.layout, state.here
    if not here:
        return _room(())
    # A thing is named once for each receptacle here that it was taken from and is not back in.
    beside = [
        layout.object_names[thing]
        for thing, receptacles in sorted(state.taken_from.items())
        if state.location in state.locations_of(thing)
        for receptacle in here
        if receptacle in receptacles
    ]
    faced = _listed([layout.receptacle_names[receptacle] for receptacle in here])
    return f"You are facing the {faced}. Next to it, you see {_things(beside)}."


def inventory(state: State) -> str:
    """Returns what is held."""
    if state.held is None:
        return "You are not carrying anything."
    return f"You are carrying: a {state.layout.object_names[state.held]}."


def receptacle(state: State, index: int) -> str:
    """Returns what one sees of a receptacle."""
    layout, name = state.layout, state.layout.receptacle_names[index]
    if not layout.openable[index]:
        return f"On the {name}, you see {_contents(state, index)}."
    if index in state.opened:
        return f"The {name} is open. In it, you see {_contents(state, index)}."
    return f"The {name} is closed."


def thing(state: State, index: int) -> str:
    """Returns what one sees of an object in the hand."""
    layout, name = state.layout, state.layout.object_names[index]
    traits, sliced = layout.traits[index], index in state.sliced
    if "isReceptacleObject" in traits:
        inside = [layout.object_names[inner] for inner in layout.inside[index]]
        return f"This is a normal {name}. In it, you see {_things(inside)}."
    treated = _treated(index in state.clean, index in state.hot, index in state.cool, sliced)
    if treated:
        return f"This is a {treated} {name}."
    if "toggleable" in traits and index in state.toggled:
        return f"This {name} is on."
    if "sliceable" in traits and sliced:
        return f"This is a sliced {name}."
    return f"There's nothing special about {name}."


def _treated(clean: bool, hot: bool, cool: bool, sliced: bool) -> str:
    """Returns the words for an object that was cleaned, heated or cooled; "" if it was not.

    The grammar says "cold" only of a thing that is cold and nothing else.
    """
    suffix = " sliced" if sliced else ""
    if hot or cool:
        warmth = "hot" if hot else "cool" if clean or sliced else "cold"
        return f"{warmth}{' and clean' if clean else ''}{suffix}"
    return f"clean{suffix}" if clean else ""


def _room(receptacles: Sequence[str]) -> str:
    return f"You are in the middle of a room. Looking quickly around you, you see {_things(receptacles)}."


def _contents(state: State, receptacle: int) -> str:
    names = state.layout.object_names
    return _things([names[thing] for thing in state.contents[receptacle]])


def _things(names: Sequence[str]) -> str:
    """Lists things with their article, which is always "a"."""
    return f"a {_listed(names, ', a ', ', and a ')}" if names else "nothing"


def _listed(names: Sequence[str], between: str = ", ", last: str = ", and ") -> str:
    """Joins names: "A", "A, and B", "A, B, and C"."""
    return f"{between.join(names[:-1])}{last}{names[-1]}" if len(names) > 1 else names[0]
