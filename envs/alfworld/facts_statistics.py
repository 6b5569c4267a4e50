"""Aggregate figures of ALFWorld's train games (arXiv 2010.03768): what is asked for, what there is, what lies where.

Everything is a histogram, a share or a mean over many games; no game's own arrangement is kept. The meaning of each
table is told by `envs.alfworld.facts.Facts`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from envs.alfworld.facts import barred_places
from envs.alfworld.games import find_games
from envs.alfworld.problem import Problem
from envs.alfworld.reading import read_game
from envs.errors import InputError

Shares = dict[str, dict[str, dict[str, float]]]

_KINDS = {0: "kitchen", 2: "living room", 3: "bedroom", 4: "bathroom"}
# Places that hold fewer of a type's objects than this share are left out of the table.
_SMALLEST_SHARE = 0.002
# A type that was seldom asked for lies where its other objects do: those count as this many asked-for ones.
_PRIOR_STRENGTH = 5


class Game(NamedTuple):
    """A real game: its floor plan number and its facts."""

    room: int
    problem: Problem

    @property
    def kind(self) -> str:
        """Returns the kind of its room."""
        return kind_of_room(self.room)


def kind_of_room(number: int) -> str:
    """Returns the kind of a floor plan: ALFRED numbers them by kind, in hundreds."""
    return _KINDS[number // 100]


def plain(name: str) -> str:
    """Returns a type's name without its suffix: "Mug" for "MugType"."""
    return name.removesuffix("Type")


def read_games(data: str) -> Iterator[Game]:
    """Reads the train games, in order of their names.

    Args:
        data: a folder as `envs.alfworld.games.find_games` takes it.

    Raises:
        InputError: there are none.
    """
    index = find_games(data, "train")
    if index is None:
        raise InputError("the figures come from ALFWorld's train games, and there are none here. Give data=PATH.")
    for name in index.names:
        problem = read_game(index.path(name)).problem
        typed = tuple(thing for thing in problem.things if thing.type)
        yield Game(int(name.split("/")[-2].rpartition("-")[2]), problem._replace(things=typed))


def count_tasks(games: list[Game]) -> dict[str, Any]:
    """Returns the tables "task_rooms", "wishes" and "instances"."""
    rooms: dict[str, Counter[str]] = defaultdict(Counter)
    wishes: dict[str, dict[str, Counter[tuple[str, str]]]] = defaultdict(lambda: defaultdict(Counter))
    instances: dict[str, Counter[int]] = defaultdict(Counter)
    for game in games:
        goal = game.problem.goal
        rooms[goal.task_type][game.kind] += 1
        wishes[game.kind][goal.task_type][plain(goal.object_type), plain(goal.target_type)] += 1
        instances[goal.task_type][min(4, sum(thing.type == goal.object_type for thing in game.problem.things))] += 1
    return {
        "task_rooms": _sorted(rooms),
        "wishes": {
            kind: {
                task: [(*pair, count) for pair, count in sorted(pairs.items())]
                for task, pairs in sorted(by_task.items())
            }
            for kind, by_task in sorted(wishes.items())
        },
        "instances": _sorted(instances),
    }


def count_objects(games: list[Game]) -> dict[str, dict[str, dict[int, int]]]:
    """Returns the table "counts"."""
    counts: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for game in games:
        wanted = game.problem.goal.object_type
        present = Counter(thing.type for thing in game.problem.things if thing.type != wanted)
        for name, number in present.items():
            counts[game.kind][plain(name)][number] += 1
    return {kind: _sorted(by_type) for kind, by_type in sorted(counts.items())}


def share_places(games: list[Game]) -> tuple[Shares, Shares]:
    """Returns the tables "places" (objects that are not asked for) and "wished_places" (those that are)."""
    other, wished = _Tally(), _Tally()
    for game in games:
        goal = game.problem.goal
        types = {receptacle.id: plain(receptacle.type) for receptacle in game.problem.receptacles}
        present = frozenset(types.values())
        allowed = present - barred_places(goal.task_type, plain(goal.target_type))
        for thing in game.problem.things:
            place = "&".join(sorted(types[id] for id in thing.receptacles[:2]))
            if thing.type == goal.object_type:
                wished.add(game.kind, plain(thing.type), place, allowed)
            else:
                other.add(game.kind, plain(thing.type), place, present)
    places = other.shares({})
    return places, wished.shares(places)


class _Tally:
    """Counts where objects lie, and among which places they could have lain."""

    def __init__(self) -> None:
        self._lying: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._rooms: dict[tuple[str, str], Counter[frozenset[str]]] = defaultdict(Counter)

    def add(self, kind: str, name: str, place: str, allowed: frozenset[str]) -> None:
        self._lying[kind, name][place] += 1
        self._rooms[kind, name][allowed] += 1

    def shares(self, prior: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Shares:
        """Divides the numbers in each place by the number that could have lain there, drawn towards a prior."""
        table: Shares = defaultdict(dict)
        for (kind, name), numbers in sorted(self._lying.items()):
            expected = prior.get(kind, {}).get(name, {})
            strength = _PRIOR_STRENGTH if expected else 0
            shares = {}
            for place in sorted(numbers.keys() | expected):
                needed = set(place.split("&")) - {""}
                chances = sum(count for allowed, count in self._rooms[kind, name].items() if needed <= allowed)
                share = (numbers[place] + strength * expected.get(place, 0.0)) / (chances + strength)
                if share >= _SMALLEST_SHARE:
                    shares[place] = round(share, 4)
            table[kind][name] = shares
        return dict(table)


def mean_finds(games: list[Game]) -> dict[str, dict[str, float]]:
    """Returns the table "found", over the games that have both the object type and the receptacle type."""
    lying: dict[str, Counter[str]] = defaultdict(Counter)
    searched: dict[str, Counter[str]] = defaultdict(Counter)
    for game in games:
        types = {receptacle.id: plain(receptacle.type) for receptacle in game.problem.receptacles}
        there = Counter(types.values())
        useful = [thing for thing in game.problem.things if thing.traits & {"pickupable", "toggleable"}]
        for name in {plain(thing.type) for thing in useful}:
            searched[name].update(there)
        for thing in useful:
            lying[plain(thing.type)].update(types[id] for id in thing.receptacles)
    return {
        name: {
            place: round(lying[name][place] / number, 4)
            for place, number in sorted(places.items())
            if lying[name][place]
        }
        for name, places in sorted(searched.items())
    }


def _sorted(table: Mapping[str, Mapping[Any, Any]]) -> dict[str, dict[Any, Any]]:
    return {name: dict(sorted(row.items())) for name, row in sorted(table.items())}
