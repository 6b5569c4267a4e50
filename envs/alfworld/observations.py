"""What an agent can know from the text alone: each observation is taken apart and added to what was seen before.

Only the observations are read, never the commands, so what is known stays right when something else than the agent's
own command was played. Names are those of the game ("mug 2"); a *kind* is a name without its number ("mug").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from envs.alfworld.text import NOTHING_HAPPENS

_NAME = r"([a-z]+ \d+)"
_ROOM = re.compile(r"You are in the middle of a room\. Looking quickly around you, you see (.*?)\.(?:\n|$)")
_TASK = re.compile(r"Your task is to: (.*)")
_FACING = re.compile(r"You are facing the (.*?)\. Next to it, you see")
_SEEN = re.compile(rf"(?:On the {_NAME}|The {_NAME} is open\. In it), you see (.*?)\.$")
_CLOSED = re.compile(rf"The {_NAME} is closed\.$")
_CLOSES = re.compile(rf"You close the {_NAME}\.")
_TAKES = re.compile(rf"You pick up the {_NAME} from the {_NAME}\.")
_PUTS = re.compile(rf"You (?:move|put) the {_NAME} (?:to|in/on) the {_NAME}\.")
_TREATS = re.compile(rf"You (clean|heat|cool) the {_NAME} using the {_NAME}\.")
_CARRIES = re.compile(rf"You are carrying: a {_NAME}\.")
_CARRIES_NOTHING = "You are not carrying anything."
# What a treatment undoes.
_UNDOES = {"heat": "cool", "cool": "heat"}


def kind_of(name: str) -> str:
    """Returns the kind of a named thing: "mug" for "mug 2"."""
    return name.rpartition(" ")[0]


@dataclass
class Knowledge:
    """What has been seen so far.

    Attributes:
        receptacles: all receptacles, in the order the game lists them.
        sentence: the task line; "" until it was seen.
        here: receptacles known to be within reach of where the agent stands.
        contents: receptacle -> what was last seen in it; absent while nothing is known.
        closed: receptacles known to be closed now.
        held: what the agent holds, or None.
        treatments: object -> "clean", "heat" and "cool" as far as they hold.
        failed: whether the last observation said that nothing happened.
    """

    receptacles: list[str] = field(default_factory=list)
    sentence: str = ""
    here: set[str] = field(default_factory=set)
    contents: dict[str, list[str]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    held: str | None = None
    treatments: dict[str, set[str]] = field(default_factory=dict)
    failed: bool = False

    def add(self, text: str) -> None:
        """Takes in one observation."""
        self.failed = text.strip() == NOTHING_HAPPENS
        self._add_room(text)
        self._add_place(text)
        self._add_object(text)

    def where(self, kind: str) -> dict[str, list[str]]:
        """Returns where objects of a kind were last seen: receptacle -> names. What is held is not among them."""
        found = {
            place: [name for name in names if kind_of(name) == kind and name != self.held]
            for place, names in self.contents.items()
        }
        return {place: names for place, names in found.items() if names}

    def _add_room(self, text: str) -> None:
        room, task, facing = _ROOM.search(text), _TASK.search(text), _FACING.search(text)
        if room:
            # A later look at the starting place says that nothing is there.
            self.receptacles = self.receptacles or _names(room[1])
            self.here = set()
        if task:
            self.sentence = task[1].strip()
        if facing:
            self.here = set(_names(facing[1]))

    def _add_place(self, text: str) -> None:
        if text.startswith("You arrive at "):
            self.here = set()
        seen, closed, closes = _SEEN.search(text), _CLOSED.search(text), _CLOSES.match(text)
        if seen:
            place = seen[1] or seen[2]
            self.contents[place] = _names(seen[3])
            self.closed.discard(place)
            self.here.add(place)
        if closed or closes:
            place = (closed or closes)[1]  # type: ignore[index]
            self.closed.add(place)
            self.here.add(place)

    def _add_object(self, text: str) -> None:
        takes, puts, treats, carries = (pattern.match(text) for pattern in (_TAKES, _PUTS, _TREATS, _CARRIES))
        if takes:
            self.held = takes[1]
            self.here.add(takes[2])
            if takes[1] in self.contents.get(takes[2], []):
                self.contents[takes[2]].remove(takes[1])
        if puts:
            self.held = None
            self.here.add(puts[2])
            if puts[1] not in self.contents.get(puts[2], [puts[1]]):
                self.contents[puts[2]].append(puts[1])
        if treats:
            states = self.treatments.setdefault(treats[2], set())
            states.discard(_UNDOES.get(treats[1], ""))
            states.add(treats[1])
            self.here.add(treats[3])
        if carries:
            self.held = carries[1]
        elif text.startswith(_CARRIES_NOTHING):
            self.held = None


def _names(listing: str) -> list[str]:
    return re.findall(_NAME, listing)
