"""Word problems of our own: a person, things, and events that change how many there are, told in order."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

_NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Lena", "Omar")
_THINGS = ("apples", "books", "coins", "cards", "eggs", "marbles", "pencils", "shells", "stamps", "stickers")
_MOST = 5000


class Event(NamedTuple):
    """Something that changes the number of things.

    Attributes:
        told: the sentence.
        written: what is computed.
        result: how many there are after it.
        step: the sentence of the solution.
    """

    told: str
    written: str
    result: int
    step: str


class Story(NamedTuple):
    """A word problem: see `families.Made`."""

    question: str
    answer: int
    steps: tuple[str, ...]
    calculations: tuple[str, ...]


Maker = Callable[[random.Random, str, str, int, int], Event | None]
"""Makes an event from a random generator, a name, things, their number and the digits of new numbers, if one fits."""


def tell(draw: random.Random, num_steps: int, digits: int) -> Story:
    """Tells a story.

    Args:
        draw: decides everything.
        num_steps: events after the beginning.
        digits: of the numbers in it.

    Returns:
        The story with its solution.
    """
    name, things = draw.choice(_NAMES), draw.choice(_THINGS)
    count = draw.randrange(2, 10**digits)
    told = [f"{name} has {count} {things}."]
    events: list[Event] = []
    while len(events) < num_steps:
        event = draw.choice(_EVENTS)(draw, name, things, count, digits)
        if event is not None:
            events.append(event)
            count = event.result
    told += [event.told for event in events]
    told.append(f"How many {things} does {name} have now?")
    steps = tuple(f"{event.step} {event.written} = {event.result}." for event in events)
    return Story(" ".join(told), count, steps, tuple(event.written for event in events))


def _finds(draw: random.Random, name: str, things: str, count: int, digits: int) -> Event:
    more = draw.randrange(2, 10**digits)
    verb = draw.choice(("finds", "buys", "gets"))
    written = f"{count} + {more}"
    return Event(f"{name} {verb} {more} more {things}.", written, count + more, f"{name} {verb} {more}:")


def _loses(draw: random.Random, name: str, things: str, count: int, digits: int) -> Event | None:
    if count < 4:
        return None
    fewer = draw.randrange(2, min(count, 10**digits))
    verb = draw.choice(("loses", "sells", "gives away"))
    return Event(f"{name} {verb} {fewer} {things}.", f"{count} - {fewer}", count - fewer, f"{name} {verb} {fewer}:")


def _friends_give(draw: random.Random, name: str, things: str, count: int, digits: int) -> Event | None:
    friends, each = draw.randrange(2, 6), draw.randrange(2, 10)
    if digits < 2:
        return None
    written = f"{count} + {friends} * {each}"
    told = f"{friends} friends each give {name} {each} {things}."
    return Event(told, written, count + friends * each, f"{friends} friends give {each} each:")


def _multiplies(draw: random.Random, name: str, things: str, count: int, digits: int) -> Event | None:
    factor, word = draw.choice(((2, "doubles"), (3, "triples")))
    if count * factor > _MOST or digits < 2:
        return None
    told = f"Then the number of {things} {word}."
    return Event(told, f"{count} * {factor}", count * factor, f"The number {word}:")


def _halves(draw: random.Random, name: str, things: str, count: int, digits: int) -> Event | None:
    del draw
    if count % 2 or count < 4 or digits < 2:
        return None
    return Event(f"{name} gives half of the {things} to a friend.", f"{count} / 2", count // 2, "Half is given away:")


_EVENTS: tuple[Maker, ...] = (_finds, _loses, _friends_give, _multiplies, _halves)
