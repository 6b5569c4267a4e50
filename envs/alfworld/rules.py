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
from bisect import bisect_left, insort
from collections.abc import Iterator

from envs.alfworld import text
from envs.alfworld.layout import Layout
from envs.alfworld.state import State

Offer = tuple[str, tuple[int, ...]]
"""A command and the indices of what it names."""

MICROWAVES = frozenset({"MicrowaveType"})
FRIDGES = frozenset({"FridgeType"})
KNIVES = frozenset({"KnifeType", "ButterKnifeType"})


class World:
    """One game being played."""

    def __init__(self, layout: Layout) -> None:
        """Starts the game.

        Args:
            layout: the compiled game; worlds may share it.
        """
        self.layout = layout
        self.reset()

    def reset(self) -> str:
        """Starts again from the beginning and returns the first text."""
        self.state = State(self.layout)
        self._offers: dict[str, tuple[Rule, tuple[int, ...]]] | None = None
        return text.intro(self.state)

    def step(self, command: str) -> str:
        """Plays one command and returns what the game says.

        Args:
            command: any text; space around it does not count, capitals and space inside it do.

        Returns:
            The feedback; "Nothing happens." if the command is not admissible now.
        """
        offer = self._offered().get(command.strip())
        if offer is None:
            return text.NOTHING_HAPPENS
        rule, arguments = offer
        if rule.changes_state:
            self._offers = None
        return rule.play(self.state, *arguments)

    def admissible_commands(self) -> list[str]:
        """Returns the commands that would do or tell something now, sorted."""
        return sorted(self._offered())

    @property
    def won(self) -> bool:
        """Whether the goal holds now. It may cease to hold, for the game goes on after a win."""
        return self.state.goal_holds()

    def state_key(self) -> str:
        """Names the true state."""
        return self.state.key()

    def _offered(self) -> dict[str, tuple[Rule, tuple[int, ...]]]:
        if self._offers is None:
            self._offers = {command: (rule, indices) for rule in RULES for command, indices in rule.offers(self.state)}
        return self._offers


class Rule(ABC):
    """One action of the domain.

    Attributes:
        changes_state: False if playing it only tells something.
    """

    changes_state = True

    @abstractmethod
    def offers(self, state: State) -> Iterator[Offer]:
        """Yields the commands that this action allows now."""

    @abstractmethod
    def play(self, state: State, *arguments: int) -> str:
        """Does it and returns what the game says."""


class Look(Rule):
    """look: always possible."""

    changes_state = False

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "look"."""
        yield "look", ()

    def play(self, state: State, *arguments: int) -> str:
        """Tells what one sees from here."""
        return text.look(state)


class Inventory(Rule):
    """inventory: always possible."""

    changes_state = False

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "inventory"."""
        yield "inventory", ()

    def play(self, state: State, *arguments: int) -> str:
        """Tells what is held."""
        return text.inventory(state)


class Help(Rule):
    """help: always possible in games that have it."""

    changes_state = False

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "help"."""
        if state.layout.dialect.help is not None:
            yield "help", ()

    def play(self, state: State, *arguments: int) -> str:
        """Lists the commands."""
        return state.layout.dialect.help or text.NOTHING_HAPPENS


class ExamineReceptacle(Rule):
    """examineReceptacle: a receptacle here."""

    changes_state = False

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "examine R"."""
        for receptacle in state.here():
            yield f"examine {state.layout.receptacle_names[receptacle]}", (receptacle,)

    def play(self, state: State, *arguments: int) -> str:
        """Tells what is in it."""
        return text.receptacle(state, arguments[0])


class ExamineObject(Rule):
    """examineObject: the object held. The domain's other case, an object in view, never applies in the stock engine."""

    changes_state = False

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "examine O"."""
        if state.held is not None:
            yield f"examine {state.layout.object_names[state.held]}", (state.held,)

    def play(self, state: State, *arguments: int) -> str:
        """Tells what it is like."""
        return text.thing(state, arguments[0])


class GotoLocation(Rule):
    """GotoLocation: any receptacle that stands elsewhere."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "go to R"."""
        for receptacle, location in enumerate(state.layout.receptacle_location):
            if location != state.location:
                yield state.layout.ways[receptacle], (receptacle,)

    def play(self, state: State, *arguments: int) -> str:
        """Moves the agent there."""
        layout, receptacle = state.layout, arguments[0]
        state.location = layout.receptacle_location[receptacle]
        by_receptacle = layout.dialect.arrival == "receptacle"
        place = layout.receptacle_names[receptacle] if by_receptacle else layout.location_names[state.location]
        return f"You arrive at {place}. {text.receptacle(state, receptacle)}"


class OpenObject(Rule):
    """OpenObject: a closed receptacle here that can be opened."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "open R"."""
        for receptacle in state.here():
            if state.layout.openable[receptacle] and receptacle not in state.opened:
                yield f"open {state.layout.receptacle_names[receptacle]}", (receptacle,)

    def play(self, state: State, *arguments: int) -> str:
        """Opens it and tells what is in it."""
        state.opened.add(arguments[0])
        return f"You open the {state.layout.receptacle_names[arguments[0]]}. {text.receptacle(state, arguments[0])}"


class CloseObject(Rule):
    """CloseObject: an open receptacle here that can be closed."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "close R"."""
        for receptacle in state.here():
            if state.layout.openable[receptacle] and receptacle in state.opened:
                yield f"close {state.layout.receptacle_names[receptacle]}", (receptacle,)

    def play(self, state: State, *arguments: int) -> str:
        """Closes it."""
        state.opened.discard(arguments[0])
        return f"You close the {state.layout.receptacle_names[arguments[0]]}."


class PickupObject(Rule):
    """PickupObject: with empty hands, a pickupable object in a receptacle here that is not closed."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "take O from R"."""
        layout = state.layout
        if state.held is None:
            for receptacle in state.reachable():
                for thing in state.contents[receptacle]:
                    if "pickupable" in layout.traits[thing]:
                        names = layout.object_names[thing], layout.receptacle_names[receptacle]
                        yield f"take {names[0]} from {names[1]}", (thing, receptacle)

    def play(self, state: State, *arguments: int) -> str:
        """Takes it into the hand; it stays in any other receptacle that it was in."""
        thing, receptacle = arguments
        things = state.contents[receptacle]
        del things[bisect_left(things, thing)]
        state.moved[thing] = state.locations_of(thing) - {state.location}
        state.taken_from[thing] = state.taken_from.get(thing, frozenset()) | {receptacle}
        state.held = thing
        return f"You pick up the {_names(state, arguments, ' from the ')}."


class PutObject(Rule):
    """PutObject: the object held, into a receptacle here that is not closed and whose type can contain the object's."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "move O to R", or "put O in/on R" in format 2.1.1."""
        layout, held = state.layout, state.held
        if held is not None:
            for receptacle in state.reachable():
                if layout.can_put(held, receptacle):
                    names = layout.object_names[held], layout.receptacle_names[receptacle]
                    yield layout.dialect.put_command(*names), (held, receptacle)

    def play(self, state: State, *arguments: int) -> str:
        """Puts it there."""
        thing, receptacle = arguments
        if thing not in state.contents[receptacle]:
            insort(state.contents[receptacle], thing)
        state.moved[thing] = state.locations_of(thing) | {state.location}
        state.taken_from[thing] = state.taken_from[thing] - {receptacle}
        state.held = None
        return state.layout.dialect.put_feedback(
            state.layout.object_names[thing], state.layout.receptacle_names[receptacle]
        )


class CleanObject(Rule):
    """CleanObject: the object held, if cleanable, at a sink basin."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "clean O with R"."""
        return _treatments(state, "clean", "cleanable", state.layout.dialect.sinks)

    def play(self, state: State, *arguments: int) -> str:
        """Makes it clean."""
        state.clean.add(arguments[0])
        return f"You clean the {_names(state, arguments, ' using the ')}."


class HeatObject(Rule):
    """HeatObject: the object held, if heatable, at a microwave, open or not."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "heat O with R"."""
        return _treatments(state, "heat", "heatable", MICROWAVES)

    def play(self, state: State, *arguments: int) -> str:
        """Makes it hot and no longer cool."""
        state.hot.add(arguments[0])
        state.cool.discard(arguments[0])
        return f"You heat the {_names(state, arguments, ' using the ')}."


class CoolObject(Rule):
    """CoolObject: the object held, if coolable, at a fridge, open or not."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "cool O with R"."""
        return _treatments(state, "cool", "coolable", FRIDGES)

    def play(self, state: State, *arguments: int) -> str:
        """Makes it cool and no longer hot."""
        state.cool.add(arguments[0])
        state.hot.discard(arguments[0])
        return f"You cool the {_names(state, arguments, ' using the ')}."


class ToggleObject(Rule):
    """ToggleObject: a toggleable object in a receptacle here, even a closed one. It turns on, never off."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "use O"."""
        for receptacle in state.here():
            for thing in state.contents[receptacle]:
                if "toggleable" in state.layout.traits[thing]:
                    yield f"use {state.layout.object_names[thing]}", (thing,)

    def play(self, state: State, *arguments: int) -> str:
        """Turns it on."""
        state.toggled.add(arguments[0])
        return f"You turn on the {state.layout.object_names[arguments[0]]}."


class SliceObject(Rule):
    """SliceObject: a sliceable object that counts as being here, while a knife is held."""

    def offers(self, state: State) -> Iterator[Offer]:
        """Yields "slice O with K"."""
        layout, knife = state.layout, state.held
        if knife is not None and layout.object_types[knife] in KNIVES:
            for thing in layout.sliceable:
                if state.location in state.locations_of(thing):
                    yield f"slice {layout.object_names[thing]} with {layout.object_names[knife]}", (thing, knife)

    def play(self, state: State, *arguments: int) -> str:
        """Slices it."""
        thing, knife = arguments
        state.sliced.add(thing)
        return f"You sliced the {state.layout.object_names[thing]} with the {state.layout.object_names[knife]}."


RULES: tuple[Rule, ...] = (
    Look(),
    Inventory(),
    Help(),
    ExamineReceptacle(),
    ExamineObject(),
    GotoLocation(),
    OpenObject(),
    CloseObject(),
    PickupObject(),
    PutObject(),
    CleanObject(),
    HeatObject(),
    CoolObject(),
    ToggleObject(),
    SliceObject(),
)


def _treatments(state: State, verb: str, trait: str, kinds: frozenset[str]) -> Iterator[Offer]:
    """Yields "VERB O with R" for the object held, if it has the trait, and each receptacle here of the kinds."""
    layout, held = state.layout, state.held
    if held is not None and trait in layout.traits[held]:
        for receptacle in state.here():
            if layout.receptacle_types[receptacle] in kinds:
                names = layout.object_names[held], layout.receptacle_names[receptacle]
                yield f"{verb} {names[0]} with {names[1]}", (held, receptacle)


def _names(state: State, arguments: tuple[int, ...], between: str) -> str:
    """Names an object and a receptacle."""
    thing, receptacle = arguments
    return f"{state.layout.object_names[thing]}{between}{state.layout.receptacle_names[receptacle]}"
