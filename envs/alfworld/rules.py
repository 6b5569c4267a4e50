"""The rules of ALFWorld (Shridhar et al., arXiv 2010.03768): what each command needs, does and says.

Every action of the PDDL domain inside the game files is one class here under the domain's own name. It says which
commands it offers in the present state (`offers`) and plays one of them (`play`). A command is admissible exactly if
some rule offers it. To add a verb, write its class and put it into `RULES`.

The behaviour is that of the stock engine (TextWorld's PDDL environment), including what only its implementation
explains: an object can be examined only while it is held, using a thing never turns it off, no receptacle is ever full,
and carrying a container leaves what is in it behind. Left out: actions that the domain has commented out, and costs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

from envs.alfworld import text
from envs.alfworld.state import State

Offers = Mapping[str, tuple[int, ...]]
"""Commands, and the indices of what each names."""
NONE: Offers = {}
MICROWAVES = frozenset({"MicrowaveType"})
FRIDGES = frozenset({"FridgeType"})
KNIVES = frozenset({"KnifeType", "ButterKnifeType"})


class Rule(ABC):
    """One action of the domain.

    Attributes:
        changes_state: False if playing it only tells something.
        always: True if it offers the same in every state of a game.
        hand: "holding" or "empty" if it offers something only then.
    """

    changes_state = True
    always = False
    hand: Literal["any", "holding", "empty"] = "any"

    @abstractmethod
    def offers(self, state: State) -> Offers:
        """Returns the commands that this action allows now."""

    @abstractmethod
    def play(self, state: State, *arguments: int) -> str:
        """Does it and returns what the game says."""


class Look(Rule):
    """look: always possible."""

    changes_state = False
    always = True

    def offers(self, state: State) -> Offers:
        """Returns "look"."""
        return {"look": ()}

    def play(self, state: State, *arguments: int) -> str:
        """Tells what one sees from here."""
        return text.look(state)


class Inventory(Rule):
    """inventory: always possible."""

    changes_state = False
    always = True

    def offers(self, state: State) -> Offers:
        """Returns "inventory"."""
        return {"inventory": ()}

    def play(self, state: State, *arguments: int) -> str:
        """Tells what is held."""
        return text.inventory(state)


class Help(Rule):
    """help: always possible in games that have it."""

    changes_state = False
    always = True

    def offers(self, state: State) -> Offers:
        """Returns "help"."""
        return NONE if state.layout.dialect.help is None else {"help": ()}

    def play(self, state: State, *arguments: int) -> str:
        """Lists the commands."""
        return state.layout.dialect.help or text.NOTHING_HAPPENS


class ExamineReceptacle(Rule):
    """examineReceptacle: a receptacle here."""

    changes_state = False

    def offers(self, state: State) -> Offers:
        """Returns "examine R"."""
        names = state.layout.receptacle_names
        return {f"examine {names[receptacle]}": (receptacle,) for receptacle in state.here}

    def play(self, state: State, *arguments: int) -> str:
        """Tells what is in it."""
        return text.receptacle(state, arguments[0])


class ExamineObject(Rule):
    """examineObject: the object held. The domain's other case, an object in view, never applies in the stock engine."""

    changes_state = False
    hand = "holding"

    def offers(self, state: State) -> Offers:
        """Returns "examine O"."""
        held = state.held
        return NONE if held is None else {f"examine {state.layout.object_names[held]}": (held,)}

    def play(self, state: State, *arguments: int) -> str:
        """Tells what it is like."""
        return text.thing(state, arguments[0])


class GotoLocation(Rule):
    """GotoLocation: any receptacle that stands elsewhere."""

    def offers(self, state: State) -> Offers:
        """Returns "go to R"."""
        ways = state.layout.destinations.copy()
        for receptacle in state.here:
            del ways[state.layout.ways[receptacle]]
        return ways

    def play(self, state: State, *arguments: int) -> str:
        """Moves the agent there."""
        layout, receptacle = state.layout, arguments[0]
        state.go_to(layout.receptacle_location[receptacle])
        by_receptacle = layout.dialect.arrival == "receptacle"
        place = layout.receptacle_names[receptacle] if by_receptacle else layout.location_names[state.location]
        return f"You arrive at {place}. {text.receptacle(state, receptacle)}"


class OpenObject(Rule):
    """OpenObject: a closed receptacle here that can be opened."""

    def offers(self, state: State) -> Offers:
        """Returns "open R"."""
        doors = state.layout.doors_at[state.location]
        if not doors:
            return NONE
        names = state.layout.receptacle_names
        return {f"open {names[receptacle]}": (receptacle,) for receptacle in doors if receptacle not in state.opened}

    def play(self, state: State, *arguments: int) -> str:
        """Opens it and tells what is in it."""
        state.opened |= {arguments[0]}
        return f"You open the {state.layout.receptacle_names[arguments[0]]}. {text.receptacle(state, arguments[0])}"


class CloseObject(Rule):
    """CloseObject: an open receptacle here that can be closed."""

    def offers(self, state: State) -> Offers:
        """Returns "close R"."""
        doors = state.layout.doors_at[state.location]
        if not doors:
            return NONE
        names = state.layout.receptacle_names
        return {f"close {names[receptacle]}": (receptacle,) for receptacle in doors if receptacle in state.opened}

    def play(self, state: State, *arguments: int) -> str:
        """Closes it."""
        state.opened -= {arguments[0]}
        return f"You close the {state.layout.receptacle_names[arguments[0]]}."


class PickupObject(Rule):
    """PickupObject: with empty hands, a pickupable object in a receptacle here that is not closed."""

    hand = "empty"

    def offers(self, state: State) -> Offers:
        """Returns "take O from R"."""
        if state.held is not None:
            return NONE
        layout, contents = state.layout, state.contents
        return {
            f"take {layout.object_names[thing]} from {layout.receptacle_names[receptacle]}": (thing, receptacle)
            for receptacle in state.reachable()
            for thing in contents[receptacle]
            if layout.pickupable[thing]
        }

    def play(self, state: State, *arguments: int) -> str:
        """Takes it into the hand; it stays in any other receptacle that it was in."""
        thing, receptacle = arguments
        state.contents[receptacle] = tuple([other for other in state.contents[receptacle] if other != thing])
        state.moved[thing] = state.locations_of(thing) - {state.location}
        state.taken_from[thing] = state.taken_from.get(thing, frozenset()) | {receptacle}
        state.held = thing
        return f"You pick up the {_names(state, arguments, ' from the ')}."


class PutObject(Rule):
    """PutObject: the object held, into a receptacle here that is not closed and whose type can contain the object's."""

    hand = "holding"

    def offers(self, state: State) -> Offers:
        """Returns "move O to R", or "put O in/on R" in format 2.1.1."""
        layout, held = state.layout, state.held
        if held is None:
            return NONE
        return {
            layout.dialect.put_command(layout.object_names[held], layout.receptacle_names[place]): (held, place)
            for place in state.reachable()
            if layout.can_put(held, place)
        }

    def play(self, state: State, *arguments: int) -> str:
        """Puts it there."""
        thing, receptacle = arguments
        state.contents[receptacle] = tuple(sorted({*state.contents[receptacle], thing}))
        state.moved[thing] = state.locations_of(thing) | {state.location}
        state.taken_from[thing] = state.taken_from[thing] - {receptacle}
        state.held = None
        return state.layout.dialect.put_feedback(
            state.layout.object_names[thing], state.layout.receptacle_names[receptacle]
        )


class CleanObject(Rule):
    """CleanObject: the object held, if cleanable, at a sink basin."""

    hand = "holding"

    def offers(self, state: State) -> Offers:
        """Returns "clean O with R"."""
        return _treatments(state, "clean", "cleanable", state.layout.dialect.sinks)

    def play(self, state: State, *arguments: int) -> str:
        """Makes it clean."""
        state.clean |= {arguments[0]}
        return f"You clean the {_names(state, arguments, ' using the ')}."


class HeatObject(Rule):
    """HeatObject: the object held, if heatable, at a microwave, open or not."""

    hand = "holding"

    def offers(self, state: State) -> Offers:
        """Returns "heat O with R"."""
        return _treatments(state, "heat", "heatable", MICROWAVES)

    def play(self, state: State, *arguments: int) -> str:
        """Makes it hot and no longer cool."""
        state.hot |= {arguments[0]}
        state.cool -= {arguments[0]}
        return f"You heat the {_names(state, arguments, ' using the ')}."


class CoolObject(Rule):
    """CoolObject: the object held, if coolable, at a fridge, open or not."""

    hand = "holding"

    def offers(self, state: State) -> Offers:
        """Returns "cool O with R"."""
        return _treatments(state, "cool", "coolable", FRIDGES)

    def play(self, state: State, *arguments: int) -> str:
        """Makes it cool and no longer hot."""
        state.cool |= {arguments[0]}
        state.hot -= {arguments[0]}
        return f"You cool the {_names(state, arguments, ' using the ')}."


class ToggleObject(Rule):
    """ToggleObject: a toggleable object in a receptacle here, even a closed one. It turns on, never off."""

    def offers(self, state: State) -> Offers:
        """Returns "use O"."""
        toggleable, contents = state.layout.toggleable, state.contents
        here = [thing for receptacle in state.here for thing in contents[receptacle] if toggleable[thing]]
        return {f"use {state.layout.object_names[thing]}": (thing,) for thing in here} if here else NONE

    def play(self, state: State, *arguments: int) -> str:
        """Turns it on."""
        state.toggled |= {arguments[0]}
        return f"You turn on the {state.layout.object_names[arguments[0]]}."


class SliceObject(Rule):
    """SliceObject: a sliceable object that counts as being here, while a knife is held."""

    hand = "holding"

    def offers(self, state: State) -> Offers:
        """Returns "slice O with K"."""
        layout, knife = state.layout, state.held
        if knife is None or layout.object_types[knife] not in KNIVES:
            return NONE
        names, here = layout.object_names, state.location
        things = [thing for thing in layout.sliceable if here in state.locations_of(thing)]
        return {f"slice {names[thing]} with {names[knife]}": (thing, knife) for thing in things}

    def play(self, state: State, *arguments: int) -> str:
        """Slices it."""
        thing, knife = arguments
        state.sliced |= {thing}
        return f"You sliced the {state.layout.object_names[thing]} with the {state.layout.object_names[knife]}."


RULES: tuple[Rule, ...] = (
    GotoLocation(),
    OpenObject(),
    CloseObject(),
    ExamineReceptacle(),
    ExamineObject(),
    PickupObject(),
    PutObject(),
    CleanObject(),
    HeatObject(),
    CoolObject(),
    ToggleObject(),
    SliceObject(),
    Look(),
    Inventory(),
    Help(),
)
"""All of them. The ways come first, for they are in order already, and the rest is quickly sorted into them."""


def _treatments(state: State, verb: str, trait: str, kinds: frozenset[str]) -> Offers:
    """Returns "VERB O with R" for the object held, if it has the trait, and each receptacle here of the kinds."""
    layout, held = state.layout, state.held
    if held is None or trait not in layout.traits[held]:
        return NONE
    name, places = layout.object_names[held], layout.receptacle_names
    stations = [place for place in state.here if layout.receptacle_types[place] in kinds]
    return {f"{verb} {name} with {places[station]}": (held, station) for station in stations}


def _names(state: State, arguments: tuple[int, ...], between: str) -> str:
    """Names an object and a receptacle."""
    thing, receptacle = arguments
    return f"{state.layout.object_names[thing]}{between}{state.layout.receptacle_names[receptacle]}"
