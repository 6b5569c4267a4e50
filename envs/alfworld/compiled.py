"""The games of a split compiled once into one file, so that thousands of them are at hand at once.

The file stands in the cache folder. Its name is made of the hash of the games and of the code that reads them, so games
or code that change make another file. It holds JSON lines: the SHA-256 of all that follows; the tables that all games
share, with each text once; then one line a game, decoded when the game is wanted. Nothing in it is ever executed, and
one that is damaged is made again.

A game is kept as its `Arrangement`: the raw ids of its entities are left out, and so are games that the native rules do
not cover, whose own file says why.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from envs.alfworld import dialects, layout, pddl, problem, reading
from envs.alfworld.dialects import Dialect
from envs.alfworld.games import GameIndex
from envs.alfworld.layout import Arrangement, Layout, arrange
from envs.alfworld.oracle import plan
from envs.alfworld.problem import Goal
from envs.alfworld.reading import read_game
from envs.cache import cache_folder, write_aside
from envs.errors import InputError, shortened
from envs.progress import track

_DAMAGED = (LookupError, TypeError, ValueError, RecursionError)
"""What decoding can raise where the content is not what was written."""


class Game(NamedTuple):
    """A compiled task.

    Attributes:
        layout: what worlds play.
        walkthrough: the file's own; empty if it has none.
    """

    layout: Layout
    walkthrough: tuple[str, ...]

    def solution(self) -> tuple[str, ...]:
        """Returns commands that win: the game's walkthrough, else a plan.

        Raises:
            InputError: if the game cannot be won.
        """
        solution = self.walkthrough or plan(self.layout)
        if solution is None:
            raise InputError(f"the game {shortened(self.layout.name)} cannot be won: no plan reaches its goal.")
        return solution


class CompiledGames:
    """The compiled games of one split.

    Attributes:
        games: which they are.
        positions: by name: where a game stands in `games.names`.
    """

    def __init__(self, games: GameIndex, content: bytes) -> None:
        """Takes the content of the file.

        Args:
            games: which games it should hold.
            content: what `_compile` made.

        Raises:
            LookupError, TypeError, ValueError, RecursionError: the content is damaged.
        """
        digest, _, rest = content.partition(b"\n")
        if digest.decode("ascii", "replace") != hashlib.sha256(rest).hexdigest():
            raise ValueError("its checksum differs")
        tables, *self._lines = rest.split(b"\n")
        if len(self._lines) != len(games.names):
            raise ValueError("it holds other games")
        self._tables = _Tables.from_json(json.loads(tables))
        self.games = games
        self.positions = {name: position for position, name in enumerate(games.names)}

    def game(self, position: int, goal: str | None = None) -> Game | None:
        """Returns a game.

        Args:
            position: in the index's `names`.
            goal: the task line to have; None for the game's own.

        Returns:
            The game; None if it is to be read from its own file.
        """
        try:
            return _decode(self._lines[position], self._tables, goal)
        except _DAMAGED:
            return None


@lru_cache(maxsize=8)
def open_compiled(games: GameIndex) -> CompiledGames:
    """Opens the compiled games of a split; they are compiled first where that has not been done.

    Args:
        games: the games.

    Returns:
        The games, the same object for the same index.
    """
    stored = cache_folder() / "alfworld" / f"compiled-{games.sha256[:16]}-{_version()[:16]}.jsonl"
    try:
        return CompiledGames(games, stored.read_bytes())
    except (OSError, *_DAMAGED):
        content = _compile(games)
        write_aside(stored, content)
        return CompiledGames(games, content)


@lru_cache(maxsize=1)
def _version() -> str:
    """Hashes the code that decides what is in the file."""
    modules = (problem.__file__, pddl.__file__, dialects.__file__, reading.__file__, layout.__file__, __file__)
    return hashlib.sha256(b"\0".join(Path(module).read_bytes() for module in modules)).hexdigest()


class _Numbering(dict[Any, int]):
    """Numbers what it is asked for in order of appearance."""

    def __missing__(self, entry: Any) -> int:  # noqa: ANN401 - anything that hashes
        self[entry] = number = len(self)
        return number


class _Numberings(NamedTuple):
    """The tables while they are filled."""

    texts: _Numbering
    traits: _Numbering
    relations: _Numbering
    dialects: _Numbering


class _Tables(NamedTuple):
    """What the games share; games refer to it by position.

    Attributes:
        texts: names, types, task lines and commands.
        traits: sets of traits.
        relations: what can contain what.
        dialects: how games word things.
    """

    texts: list[str]
    traits: list[frozenset[str]]
    relations: list[frozenset[tuple[str, str]]]
    dialects: list[Dialect]

    @classmethod
    def from_json(cls, stored: Any) -> _Tables:  # noqa: ANN401 - any JSON
        """Builds the tables and makes sure that their texts are texts.

        Raises:
            LookupError, TypeError, ValueError: they are damaged.
        """
        texts = _texts(stored["texts"])
        relations = [[(texts[place], texts[thing]) for place, thing in pairs] for pairs in stored["relations"]]
        worded = []
        for wording, arrival, help_text, sinks in stored["dialects"]:
            _texts([wording, arrival, help_text or "", *sinks])
            worded.append(Dialect(wording, arrival, help_text, frozenset(sinks)))
        traits = [frozenset(_texts(names)) for names in stored["traits"]]
        return cls(texts, traits, list(map(frozenset, relations)), worded)


def _texts(values: list[Any]) -> list[str]:
    """Returns a list as it is if all in it are texts."""
    if not all(isinstance(value, str) for value in values):
        raise TypeError("it holds something else than texts")
    return values


def _compile(games: GameIndex) -> bytes:
    """Makes the content of the file."""
    tables = _Numberings(*[_Numbering() for _ in _Numberings._fields])
    lines = [_encode(games, name, tables) for name in track(games.names, f"compiling {games.split} games, once")]
    texts = tables.texts
    shared = {
        "relations": [[(texts[place], texts[thing]) for place, thing in sorted(pairs)] for pairs in tables.relations],
        "traits": [sorted(names) for names in tables.traits],
        "dialects": [(*dialect[:-1], sorted(dialect.sinks)) for dialect in tables.dialects],
        "texts": list(texts),
    }
    rest = b"\n".join(json.dumps(line, separators=(",", ":")).encode() for line in (shared, *lines))
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _encode(games: GameIndex, name: str, tables: _Numberings) -> list[Any] | None:
    """Puts a game into numbers: those of the tables' entries, and its own of locations, receptacles and objects."""
    try:
        game = read_game(games.path(name))
    except InputError:
        return None
    arranged, text = arrange(game.problem), tables.texts.__getitem__
    return [
        [text(word) for word in (arranged.name, arranged.sentence, *arranged.goal)],
        [tables.relations[arranged.can_contain], tables.dialects[game.dialect], arranged.start],
        [text(word) for word in arranged.location_names],
        [
            [text(word) for word in arranged.receptacle_names],
            [text(word) for word in arranged.receptacle_types],
            arranged.receptacle_location,
            [int(flag) for flag in arranged.openable],
            [int(flag) for flag in arranged.opened],
            arranged.contents,
        ],
        [
            [text(word) for word in arranged.object_names],
            [text(word) for word in arranged.object_types],
            [tables.traits[traits] for traits in arranged.traits],
            arranged.object_location,
            arranged.inside,
        ],
        [text(word) for word in game.walkthrough],
    ]


def _decode(line: bytes, tables: _Tables, goal: str | None) -> Game:
    """Undoes `_encode` and compiles the game. Whatever the numbers are, they end up as entries that there are.

    Raises:
        LookupError, TypeError, ValueError, RecursionError: the line is damaged.
    """
    words, (relation, dialect, start), named, receptacles, objects, walkthrough = json.loads(line)
    names, types, standing, openable, opened, contents = receptacles
    object_names, object_types, traits, lying, inside = objects
    if len({*map(len, receptacles)}) > 1 or len({*map(len, objects)}) > 1:
        raise ValueError("its columns differ in length")
    text = tables.texts.__getitem__
    location, thing = range(len(named)).__getitem__, range(len(object_names)).__getitem__
    name, sentence, *aim = map(text, words)
    arranged = Arrangement(
        name=name,
        sentence=sentence if goal is None else goal,
        goal=Goal(*aim),
        can_contain=tables.relations[relation],
        start=location(start),
        location_names=tuple(map(text, named)),
        receptacle_names=tuple(map(text, names)),
        receptacle_types=tuple(map(text, types)),
        receptacle_location=tuple(map(location, standing)),
        openable=tuple(map(bool, openable)),
        opened=tuple(map(bool, opened)),
        object_names=tuple(map(text, object_names)),
        object_types=tuple(map(text, object_types)),
        traits=tuple(map(tables.traits.__getitem__, traits)),
        object_location=tuple([None if number is None else location(number) for number in lying]),
        contents=tuple([tuple(map(thing, group)) for group in contents]),
        inside=tuple([tuple(map(thing, group)) for group in inside]),
    )
    return Game(Layout(arranged, tables.dialects[dialect]), tuple(map(text, walkthrough)))
