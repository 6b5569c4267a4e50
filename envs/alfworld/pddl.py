"""Reads the PDDL problem inside a game file: plain facts of one or two arguments, and a goal of six known shapes.

One regular expression scans the facts, in time linear in their length. Left out: PDDL beyond what ALFWorld's
problems use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from envs.alfworld.dialects import UncoveredError
from envs.alfworld.problem import Goal, Problem, Receptacle, Thing
from envs.errors import InputError, shortened

TRAITS = (
    "pickupable",
    "isReceptacleObject",
    "cleanable",
    "heatable",
    "coolable",
    "toggleable",
    "sliceable",
    "isClean",
    "isHot",
    "isCool",
    "isOn",
    "isToggled",
    "isSliced",
    "moveable",
)
RECEPTACLE_TRAITS = ("openable", "opened")
RELATIONS = (
    "atLocation",
    "receptacleType",
    "receptacleAtLocation",
    "objectType",
    "objectAtLocation",
    "inReceptacle",
    "inReceptacleObject",
    "canContain",
)

Facts = dict[str, list[tuple[str, str]]]
"""Arguments by predicate; the second one is "" for a trait."""

_FACT = re.compile(r"\(\s*([^\s()]+)\s+([^\s()]+)(?:\s+([^\s()]+))?\s*\)")
_NAME = re.compile(r"\(\s*problem\s+([^\s()]+)\s*\)")
_COMMENT = re.compile(r";[^\n]*")
# Names are ASCII, as in the published games, whose longest has 87 characters.
_ENTITY = re.compile(r"[!-~]{1,200}")


def _shape(goal: str) -> re.Pattern[str]:
    """Turns a goal with OBJECT and TARGET for its types into a pattern; a type's second mention must be the same."""
    pattern = re.escape(goal)
    for group in ("OBJECT", "TARGET"):
        pattern = pattern.replace(group, f"(?P<{group}>[A-Za-z]+)", 1).replace(rf"\ {group}", rf"\ (?P={group})")
    return re.compile(pattern)


_PLACED = "(and(exists(?r - receptacle)(exists(?o - object){})))"
_TREATED = "(and({} ?o)(objectType ?o OBJECT)(receptacleType ?r TARGET)({} ?o)(inReceptacle ?o ?r))"
GOAL_SHAPES = {
    "pick_and_place_simple": _shape(
        _PLACED.format("(and(inReceptacle ?o ?r)(objectType ?o OBJECT)(receptacleType ?r TARGET))")
    ),
    "look_at_obj_in_light": _shape(
        "(and(exists(?ot - object ?r - receptacle ?a - agent ?l - location)(and(objectType ?ot TARGET)(toggleable ?ot)"
        "(isToggled ?ot)(receptacleAtLocation ?r ?l)(atLocation ?a ?l)(inReceptacle ?ot ?r)))"
        "(exists(?o - object ?a - agent)(and(objectType ?o OBJECT)(holds ?a ?o))))"
    ),
    "pick_clean_then_place_in_recep": _shape(_PLACED.format(_TREATED.format("cleanable", "isClean"))),
    "pick_heat_then_place_in_recep": _shape(_PLACED.format(_TREATED.format("heatable", "isHot"))),
    "pick_cool_then_place_in_recep": _shape(_PLACED.format(_TREATED.format("coolable", "isCool"))),
    "pick_two_obj_and_place": _shape(
        "(and(exists(?r - receptacle)(exists(?o1 - object)(and(objectType ?o1 OBJECT)(receptacleType ?r TARGET)"
        "(inReceptacle ?o1 ?r)(exists(?o2 - object)(and(not(= ?o1 ?o2))(objectType ?o2 OBJECT)"
        "(receptacleType ?r TARGET)(inReceptacle ?o2 ?r)))))))"
    ),
}
"""The goals that the rules cover, without space around parentheses."""


def parse_problem(text: str, sentence: str) -> Problem:
    """Reads a PDDL problem.

    Args:
        text: the problem.
        sentence: the task line that goes with it, without "Your task is to: ".

    Returns:
        Its facts.

    Raises:
        UncoveredError: if it uses something the rules do not cover.
        InputError: if it is incomplete.
    """
    text = _COMMENT.sub("", text)
    start, end = text.find("(:init"), text.find("(:goal")
    if start < 0 or end < start:
        raise InputError("the PDDL problem lacks its (:init ...) or (:goal ...).")
    name = _NAME.search(text, 0, start)
    if name is None or not _ENTITY.fullmatch(name[1]):
        raise InputError("the PDDL problem has no name, or none of at most 200 plain characters.")
    return _assemble(name[1], _parse_facts(text[start:end]), parse_goal(text), sentence)


def parse_goal(text: str) -> Goal:
    """Reads the goal of a PDDL problem.

    Args:
        text: the problem.

    Returns:
        What wins.

    Raises:
        UncoveredError: if the goal is none of the six shapes.
    """
    _, _, body = text.partition("(:goal")
    body = re.sub(r"\s*([()])\s*", r"\1", re.sub(r"\s+", " ", body))
    for task_type, shape in GOAL_SHAPES.items():
        match = shape.match(body)
        if match and body[match.end() :] == "))":
            return Goal(task_type, match["OBJECT"], match["TARGET"])
    raise UncoveredError("its goal is none of ALFWorld's six shapes")


def _parse_facts(section: str) -> Facts:
    """Reads the facts of the init section, each once, in file order."""
    matches = _FACT.findall(section)
    if len(matches) != section.count("(") - 1 or _FACT.sub("", section).strip(" \t\r\n)") != "(:init":
        raise UncoveredError("its (:init ...) holds more than plain facts of one or two arguments")
    facts: Facts = {name: [] for name in (*TRAITS, *RECEPTACLE_TRAITS, *RELATIONS)}
    for predicate, first, second in dict.fromkeys(matches):
        for name in (first, second):
            if name and not _ENTITY.fullmatch(name):
                raise InputError(f"its name {shortened(name, 80)!r} is too long, or not plain ASCII.")
        if predicate not in facts:
            raise UncoveredError(f"it states the predicate {shortened(predicate, 80)!r}")
        if (predicate in RELATIONS) != bool(second):
            raise InputError(f"its predicate {predicate!r} has the wrong number of arguments.")
        facts[predicate].append((first, second))
    return facts


def _one_each(facts: Facts, predicate: str) -> dict[str, str]:
    pairs = dict(facts[predicate])
    if len(pairs) != len(facts[predicate]):
        raise UncoveredError(f"it states {predicate!r} twice for one entity")
    return pairs


def _assemble(name: str, facts: Facts, goal: Goal, sentence: str) -> Problem:
    starts = list(_one_each(facts, "atLocation").values())
    if len(starts) != 1:
        raise InputError(f"it states {len(starts)} places where the agent starts; it should state one.")
    receptacles, things = _receptacles(facts), _things(facts)
    known = {receptacle.id for receptacle in receptacles}
    for holder in (holder for thing in things for holder in thing.receptacles):
        if holder not in known:
            raise InputError(f"it puts something into {shortened(holder, 80)!r}, which is no receptacle.")
    entities = [*known, *(thing.id for thing in things)]
    if len({entity.lower() for entity in entities}) != len(entities):
        raise InputError("two of its entities have the same name.")
    return Problem(name, starts[0], receptacles, things, frozenset(facts["canContain"]), goal, sentence)


def _receptacles(facts: Facts) -> tuple[Receptacle, ...]:
    types = _one_each(facts, "receptacleType")
    locations = _one_each(facts, "receptacleAtLocation")
    openable, opened = (frozenset(entity for entity, _ in facts[trait]) for trait in RECEPTACLE_TRAITS)
    for entity in [*types, *locations, *openable, *opened]:
        if entity not in types or entity not in locations:
            raise InputError(f"the receptacle {shortened(entity, 80)!r} lacks its type or its location.")
    return tuple(
        Receptacle(entity, kind, locations[entity], entity in openable, entity in opened)
        for entity, kind in types.items()
    )


def _things(facts: Facts) -> tuple[Thing, ...]:
    """Assembles the objects, those without a type too: they count when objects of a kind are numbered."""
    types, locations = _one_each(facts, "objectType"), _one_each(facts, "objectAtLocation")
    traits = _gathered((entity, trait) for trait in TRAITS for entity, _ in facts[trait])
    holders = _gathered(facts["inReceptacle"])
    contents = _gathered((outer, inner) for inner, outer in facts["inReceptacleObject"])
    inner = (entity for entity, _ in facts["inReceptacleObject"])
    return tuple(
        Thing(
            entity,
            types.get(entity, ""),
            locations.get(entity, ""),
            tuple(holders.get(entity, ())),
            frozenset(traits.get(entity, ())),
            tuple(contents.get(entity, ())),
        )
        for entity in dict.fromkeys([*types, *locations, *traits, *holders, *contents, *inner])
    )


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for key, value in pairs:
        gathered.setdefault(key, []).append(value)
    return gathered
