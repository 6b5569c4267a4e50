"""Makes household games from the table of facts: a pure function of the split's name and an index.

A game is drawn as ALFRED (arXiv 1912.01734) draws its own: a task type with the train games' frequency, a kind of room,
what to ask for, a room that has it, one to four objects of the asked-for type and one to three of every other movable
type of the room, each lying where such objects lie in the train games. Every game can be won: enough objects of
the asked-for type are within reach, every station that the task needs is in the room, and the goal does not hold at the
start.

Rooms are split as in ALFWorld (arXiv 2010.03768): "unseen" plays in the 12 of ALFRED's 120 rooms in which no train game
of ALFWorld plays, three of each kind, which include the four (10, 219, 308, 424) of ALFWorld's own unseen games;
"train" plays in the other 108.

The options of `envs.alfworld.difficulty` make a game harder or easier than that. Left out: objects that lie in three or
more receptacles at once, and the game's images and sizes of things.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import accumulate

from envs.alfworld import facts
from envs.alfworld.difficulty import AS_REAL, Difficulty
from envs.alfworld.facts import STATIONS, Room, Wish
from envs.alfworld.furnishing import Furnisher, Task, reachable_places, start_location, weighted
from envs.alfworld.problem import Goal, Problem, Receptacle, Thing
from envs.alfworld.refurnishing import refurnish
from envs.alfworld.sentences import SENTENCES
from envs.errors import unknown

UNSEEN_ROOMS = frozenset({9, 10, 29, 215, 219, 226, 308, 315, 325, 404, 424, 425})
SPLITS = ("train", "unseen")

# 2^64 divided by the golden ratio: multiples of it, modulo 2^64, are spread evenly.
_GOLDEN = 11400714819323198485


def generate(split: str, index: int, difficulty: Difficulty = AS_REAL) -> Problem:
    """Makes one game.

    Args:
        split: "train" or "unseen", which says whose rooms it may play in.
        index: which game of the split, any whole number.
        difficulty: how it differs from games as the real ones are.

    Returns:
        The game's facts, always the same for the same arguments.

    Raises:
        InputError: there is no such split.
    """
    if split not in SPLITS:
        raise unknown("split of generated games", split, SPLITS)
    seed, label = f"keystone alfworld {split} {index}", difficulty.label
    draw = random.Random(seed)
    task = _draw_task(split, index, difficulty.task_types or tuple(SENTENCES), draw)
    receptacles, things = task.room.receptacles, Furnisher(task, facts.load(), draw).furnish()
    start = start_location(task.room, draw)
    sentence = draw.choice(SENTENCES[task.task_type])
    if label:
        receptacles, things = refurnish(task, things, difficulty, seed)
    return Problem(
        name="_".join(["plan_generated", split, *([re.sub(r"\W", "_", label)] if label else []), str(index)]),
        start=start,
        receptacles=receptacles,
        things=tuple(things),
        can_contain=_can_contain(receptacles, things),
        goal=Goal(task.task_type, f"{task.wish.object_type}Type", f"{task.wish.target}Type"),
        sentence=sentence.format(object=task.wish.object_type.lower(), target=task.wish.target.lower()),
    )


def room_number(problem: Problem) -> int:
    """Returns ALFRED's number of the room that a generated game plays in."""
    standing = set(problem.receptacles)
    return next(number for number, room in facts.load().rooms.items() if standing <= set(room.receptacles))


def rooms_of(split: str) -> list[Room]:
    """Returns the rooms of a split, in ascending order of their numbers."""
    return [
        room for number, room in sorted(facts.load().rooms.items()) if (number in UNSEEN_ROOMS) == (split == "unseen")
    ]


def _can_contain(receptacles: Iterable[Receptacle], things: Iterable[Thing]) -> frozenset[tuple[str, str]]:
    """Lists which receptacle types of a game may hold which of its object types."""
    table, types = facts.load(), {thing.type for thing in things}
    return frozenset(
        (place, f"{inner}Type")
        for place in {receptacle.type for receptacle in receptacles}
        for inner in table.can_contain.get(place.removesuffix("Type"), ())
        if f"{inner}Type" in types
    )


def _draw_task(split: str, index: int, task_types: Iterable[str], draw: random.Random) -> Task:
    """Picks a task type, then a kind of room, then what to ask for, then a room where that can be asked for.

    Task types follow the golden-ratio sequence, so that any run of games has close to the train games' mix.
    """
    table = facts.load()
    games = {task: sum(kinds.values()) for task, kinds in table.task_rooms.items() if task in task_types}
    point = index * _GOLDEN % 2**64 * sum(games.values()) // 2**64
    task_type = next(task for task, reached in zip(games, accumulate(games.values()), strict=True) if point < reached)
    feasible = _feasible_wishes(split, task_type)
    kind = weighted(draw, {kind: count for kind, count in table.task_rooms[task_type].items() if kind in feasible})
    wish = weighted(draw, {wish: wish.games for wish in feasible[kind]})
    return Task(task_type, draw.choice(feasible[kind][wish]), wish)


@cache
def _feasible_wishes(split: str, task_type: str) -> dict[str, dict[Wish, list[Room]]]:
    """Lists by kind what a task of this type can ask for, with the rooms where it can."""
    feasible: dict[str, dict[Wish, list[Room]]] = defaultdict(lambda: defaultdict(list))
    for room in rooms_of(split):
        for wish in facts.load().wishes[room.kind].get(task_type, ()):
            if _is_feasible(Task(task_type, room, wish)):
                feasible[room.kind][wish].append(room)
    return dict(feasible)


def _is_feasible(task: Task) -> bool:
    """Whether a room has all that a task needs."""
    present = {receptacle.type.removesuffix("Type") for receptacle in task.room.receptacles}
    objects, places = {task.wish.object_type}, {task.wish.target, STATIONS.get(task.task_type, task.wish.target)}
    if task.task_type == "look_at_obj_in_light":
        objects, places = {task.wish.object_type, task.wish.target}, set()
    return (
        objects <= set(task.room.objects)
        and places <= present
        and all(reachable_places(task, name, present, facts.load()) for name in objects)
    )
