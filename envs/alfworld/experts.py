"""An expert that explores: it plays ALFWorld's household tasks from what an agent sees, and from nothing else.

It searches where such objects lie in the train games (an aggregate prior, `envs.alfworld.facts`), most likely finds per
turn first, opens what is closed, takes what is asked for, cleans, heats or cools it at the right station and brings it
to its target. Every decision is made anew from all that was seen so far, so it recovers when other commands were played
in between: a wrong thing is put down, a closed door is opened again, a thing that was carried off is searched for.
ALFWorld's own hand-written expert (arXiv 2010.03768) reads the game's true state; this one does not, and it ignores the
admissible commands. Left out: task lines in other words than the games' own (goals=human), which it refuses.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from envs.alfworld import facts
from envs.alfworld.observations import Knowledge, kind_of
from envs.alfworld.oracle import APPLIANCES
from envs.alfworld.sentences import Request, understand
from envs.types import Info, TextEnv

_OPENABLE = ("cabinet", "drawer", "fridge", "microwave", "safe")


class ExploringExpert:
    """Plays one episode; deterministic for a seed, which only settles ties."""

    def __init__(self, env: TextEnv | None, seed: int) -> None:
        """Starts an episode.

        Args:
            env: the environment to be played. Nothing of it is used: the expert sees only text.
            seed: settles which of equally good places comes first.
        """
        del env
        self.known = Knowledge()
        self.request: Request | None = None
        self.command = ""
        self._draw = random.Random(f"exploring expert {seed}")
        self._ranks: dict[str, float] = {}
        self._put_wording = "move {} to {}"

    def act(self, text: str, info: Info | None = None) -> str:
        """Returns the next command.

        Args:
            text: what the environment last said, first of all the text that `reset` returned.
            info: not used.

        Raises:
            InputError: the task line is worded like none of the games' own.
        """
        del info
        self.known.add(text)
        if self.request is None:
            self.request = understand(self.known.sentence)
            self._ranks = {name: self._draw.random() for name in self.known.receptacles}
        self.command = self._recover() or self._decide(self.request)
        return self.command

    def _recover(self) -> str | None:
        """Corrects what is believed after a command that did nothing; returns a command if one must be played first."""
        if not self.known.failed:
            return None
        verb, _, rest = self.command.partition(" ")
        if verb == "go":
            # Only a place within reach cannot be gone to.
            self.known.here.add(rest.removeprefix("to "))
            return None
        if verb in ("move", "put"):
            self._put_wording = "put {} in/on {}" if verb == "move" else "move {} to {}"
        for place in sorted(self.known.here):
            self.known.contents.pop(place, None)
        self.known.here.clear()
        return "inventory" if verb != "inventory" else None

    def _decide(self, request: Request) -> str:
        held = self.known.held
        if held is not None and kind_of(held) != request.object_kind:
            return self._put_down(held)
        if request.task_type == "look_at_obj_in_light":
            return self._fetch(request.object_kind, ()) if held is None else self._light(request.target_kind)
        target = self._target(request)
        if held is None:
            return self._fetch(request.object_kind, self._done(target, request))
        verb = APPLIANCES.get(request.task_type)
        if verb and verb not in self.known.treatments.get(held, ()):
            station = facts.STATIONS[request.task_type].lower()
            place = self._nearest(name for name in self.known.receptacles if kind_of(name) == station)
            return self._go(place) or f"{verb} {held} with {place}"
        return self._reach(target) or self._put_wording.format(held, target)

    def _done(self, target: str, request: Request) -> list[str]:
        """Lists the objects that already lie at the target as asked."""
        verb = APPLIANCES.get(request.task_type)
        there = self.known.where(request.object_kind).get(target, [])
        return [name for name in there if not verb or verb in self.known.treatments.get(name, ())]

    def _target(self, request: Request) -> str:
        """Chooses where to bring things: where most of them are already, else what costs fewest turns."""
        places = [name for name in self.known.receptacles if kind_of(name) == request.target_kind]
        done = {place: len(self._done(place, request)) for place in places}
        most = max(done.values())
        return self._nearest(place for place in places if done[place] == most)

    def _fetch(self, kind: str, done: Iterable[str]) -> str:
        """Takes an object of a kind, searching for one if none was seen."""
        places = {
            place: [name for name in names if name not in done] for place, names in self.known.where(kind).items()
        }
        places = {place: names for place, names in places.items() if names}
        if not places:
            return self._search(kind)
        place = self._nearest(places)
        return self._reach(place) or f"take {places[place][0]} from {place}"

    def _light(self, kind: str) -> str:
        """Switches a lamp on."""
        lamps = self.known.where(kind)
        if not lamps:
            return self._search(kind)
        place = self._nearest(lamps)
        return self._go(place) or f"use {lamps[place][0]}"

    def _search(self, kind: str) -> str:
        """Looks into the place that promises most finds per turn among those not yet seen."""
        unseen = [name for name in self.known.receptacles if name not in self.known.contents]
        if not unseen:
            # Something must have been carried off since: what was seen no longer counts.
            self.known.contents.clear()
            return self._search(kind)
        rates = _find_rates(kind)
        if self.request is not None and kind == self.request.object_kind:
            rates = {place: rate for place, rate in rates.items() if place not in _barred(self.request)}
        place = max(
            unseen, key=lambda name: (rates.get(kind_of(name), 0.0) / max(1, self._cost(name)), self._ranks[name])
        )
        return self._reach(place) or f"examine {place}"

    def _put_down(self, name: str) -> str:
        """Rids the hand of a thing that is not asked for."""
        fitting = [place for place in self.known.receptacles if kind_of(name) in _accepted(kind_of(place))]
        place = self._nearest(fitting or self.known.receptacles)
        return self._reach(place) or self._put_wording.format(name, place)

    def _cost(self, place: str) -> int:
        """Estimates the turns until one can look into a place and use it."""
        distance = 0 if place in self.known.here else 1
        shut = place in self.known.closed or (kind_of(place) in _OPENABLE and place not in self.known.contents)
        return distance + int(shut)

    def _nearest(self, places: Iterable[str]) -> str:
        return min(places, key=lambda place: (self._cost(place), self._ranks[place]))

    def _go(self, place: str) -> str | None:
        return None if place in self.known.here else f"go to {place}"

    def _reach(self, place: str) -> str | None:
        """Returns the next command on the way to an open, seen place; None if nothing is left to do."""
        if place not in self.known.here:
            return f"go to {place}"
        if place in self.known.closed:
            return f"open {place}"
        return None if place in self.known.contents else f"examine {place}"


def _barred(request: Request) -> set[str]:
    """Returns the kinds of places where nothing that is asked for lies in the train games."""
    return {name.lower() for name in facts.barred_places(request.task_type, request.target_kind)}


def _find_rates(kind: str) -> dict[str, float]:
    """Returns, by kind of receptacle, how many objects of a kind lie in one, by the prior."""
    for name, rates in facts.load().found.items():
        if name.lower() == kind:
            return {place.lower(): rate for place, rate in rates.items()}
    return {}


def _accepted(kind: str) -> frozenset[str]:
    """Returns the kinds of objects that a kind of receptacle may hold."""
    for name, types in facts.load().can_contain.items():
        if name.lower() == kind:
            return frozenset(object_type.lower() for object_type in types)
    return frozenset()
