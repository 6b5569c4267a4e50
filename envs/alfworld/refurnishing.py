"""Makes a generated game harder or easier: fewer receptacles, more or less clutter, distractors.

The game's task, its start and whatever the task needs stay as they are, so it can still be won and the goal does not
hold at the start. Every change draws from a generator of its own: one does not shift the others.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from envs.alfworld import facts
from envs.alfworld.difficulty import Difficulty
from envs.alfworld.facts import STATIONS, Facts
from envs.alfworld.furnishing import Furnisher, Task, reachable_places, weighted
from envs.alfworld.layout import TREATABLE
from envs.alfworld.problem import Receptacle, Thing


def refurnish(
    task: Task, things: Sequence[Thing], difficulty: Difficulty, seed: str
) -> tuple[tuple[Receptacle, ...], list[Thing]]:
    """Changes a furnished room.

    Args:
        task: the game's.
        things: the objects in it.
        difficulty: the changes.
        seed: of every draw.

    Returns:
        The receptacles that stay, and the objects, sorted by id.
    """
    kept, changed = task.room.receptacles, list(things)
    if difficulty.receptacles < 1:
        draw = random.Random(f"{seed} receptacles")
        kept = _kept(task, changed, difficulty.receptacles, draw)
        changed = _moved(changed, Furnisher(task, facts.load(), draw, kept, changed))
    if difficulty.clutter != 1:
        draw = random.Random(f"{seed} clutter")
        changed = _cluttered(changed, difficulty.clutter, Furnisher(task, facts.load(), draw, kept, changed))
    if difficulty.distractors:
        draw = random.Random(f"{seed} distractors")
        changed += _distractors(difficulty.distractors, Furnisher(task, facts.load(), draw, kept, changed))
    return kept, _untangled(changed)


def lookalikes(task: Task, present: set[str], table: Facts) -> dict[str, dict[str, float]]:
    """Tells which objects could be taken for the one that is asked for, and where they may lie.

    They are movable objects of other types that the target takes too and that the same treatment works on, in places
    where the asked-for object may lie. Where no place of these takes any of them (a hand towel hangs on its holder),
    they are any movable objects, and failing that any in the places where they usually lie.

    Args:
        task: the game's.
        present: the receptacle types of the room, without "Type".
        table: the table of facts.

    Returns:
        Object type -> receptacle type -> weight, without "Type".
    """
    wished = reachable_places(task, task.wish.object_type, present, table)
    treatment = TREATABLE.get(task.task_type)
    movable = [name for name in table.traits if "pickupable" in table.traits[name] and name != task.wish.object_type]
    alike = [
        name
        for name in movable
        if name in table.can_contain.get(task.wish.target, movable)
        and (treatment is None or treatment in table.traits[name])
    ]
    for candidates in (alike, movable):
        lying = {name: {p: wished[p] for p in wished if name in table.can_contain.get(p, ())} for name in candidates}
        if any(lying.values()):
            return {name: places for name, places in lying.items() if places}
    usual = {name: reachable_places(task, name, present, table) for name in movable}
    return {name: places for name, places in usual.items() if places}


def _kept(task: Task, things: Sequence[Thing], share: float, draw: random.Random) -> tuple[Receptacle, ...]:
    """Chooses the receptacles that stay: what the task needs, and others up to the share."""
    receptacles = task.room.receptacles
    needed: set[str] = set()
    for kind, number in task.needed.items():
        lying = [thing for thing in things if thing.type == f"{kind}Type" and thing.receptacles]
        for thing in draw.sample(lying, number):
            needed |= set(thing.receptacles)
    for name in (task.wish.target, STATIONS.get(task.task_type)):
        fitting = [receptacle.id for receptacle in receptacles if receptacle.type == f"{name}Type"]
        if fitting and needed.isdisjoint(fitting):
            needed.add(draw.choice(fitting))
    others = [receptacle.id for receptacle in receptacles if receptacle.id not in needed]
    further = max(0, round(share * len(receptacles)) - len(needed))
    kept = needed | set(draw.sample(others, further))
    return tuple(receptacle for receptacle in receptacles if receptacle.id in kept)


def _moved(things: Iterable[Thing], furnisher: Furnisher) -> list[Thing]:
    """Puts what lay in receptacles that are gone somewhere else."""
    locations = {receptacle.id: receptacle.location for receptacle in furnisher.receptacles}
    moved = []
    for thing in things:
        left = tuple(id for id in thing.receptacles if id in locations)
        if left:
            moved.append(thing._replace(receptacles=left, location=locations[left[0]]))
        elif thing.receptacles:
            moved.append(furnisher.place(thing.type.removesuffix("Type"), within_reach=True))
        else:
            moved.append(thing)
    return moved


def _cluttered(things: Sequence[Thing], factor: float, furnisher: Furnisher) -> list[Thing]:
    """Changes the number of movable objects of every type that is not asked for; fractions are settled by a draw."""
    by_type: dict[str, list[Thing]] = defaultdict(list)
    for thing in things:
        by_type[thing.type].append(thing)
    cluttered: list[Thing] = []
    for kind, present in by_type.items():
        name = kind.removesuffix("Type")
        if "pickupable" not in present[0].traits or name in furnisher.task.needed:
            cluttered += present
            continue
        number = int(len(present) * factor + furnisher.draw.random())
        if number <= len(present):
            cluttered += furnisher.draw.sample(present, number)
        else:
            further = range(number - len(present))
            cluttered += [*present, *(furnisher.place(name, within_reach=False) for _ in further)]
    return cluttered


def _distractors(number: int, furnisher: Furnisher) -> list[Thing]:
    """Makes objects that could be taken for the one that is asked for; none if the room has no place for any."""
    alike = lookalikes(furnisher.task, set(furnisher.by_type), furnisher.table)
    made: list[Thing] = []
    if not alike:
        return made
    for _ in range(number):
        name = furnisher.draw.choice(list(alike))
        made.append(furnisher.put(name, weighted(furnisher.draw, alike[name])))
    return made


def _untangled(things: Sequence[Thing]) -> list[Thing]:
    """Sorts the objects; what no longer lies in one place together is no longer inside one another."""
    receptacles = {thing.id: thing.receptacles for thing in things}
    return sorted(
        thing._replace(contains=tuple(id for id in thing.contains if receptacles.get(id) == thing.receptacles))
        for thing in things
    )
