"""Tasks of ALFWorld by name: which there are, how they are drawn, and the compiled game behind a name.

A real game is named by its folder below the data root ("valid_seen/pick_.../trial_..."), a game file given by its path
by that path; "#1" behind either gives it the task line of its second annotator (goals=human). A generated game is named
by its rooms and its number ("generated/train/12345"), with the options between them that make it harder or easier than
the real ones ("generated/train/clutter=2/12345"). A name says all that there is to a task: it brings the same game back
whatever the options of the environment are. Compiled games are shared by all environments of the process and kept while
they are among the last used.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from envs.alfworld.compiled import CompiledGames, Game, open_compiled
from envs.alfworld.dialects import PACKAGED
from envs.alfworld.difficulty import AS_REAL, Difficulty, read_label
from envs.alfworld.games import GAME_FILE, SPLITS, GameIndex, find_games, stamp_of
from envs.alfworld.goals import human_goals
from envs.alfworld.layout import Layout
from envs.alfworld.problem import Problem
from envs.alfworld.reading import read_game
from envs.drawing import check_draw, first_number, key_of, order, passes
from envs.errors import InputError, shortened, unknown
from envs.files import check_name, named_path

GENERATED = "generated"
GOALS = ("template", "human")
_ROOMS = {"train": "train", "valid_seen": "train", "valid_unseen": "unseen"}
_NUM_GENERATED = 2**31
_ANNOTATED = re.compile(r"(.+)#([0-9]{1,4})", re.DOTALL)


class Location(NamedTuple):
    """Where a task comes from.

    Attributes:
        game: the path of its game file, or its whole name if it is generated.
        annotation: which of its human goals is its task line; None for the game's own.
        name: its name in the index of the split, if it is one of its games.
    """

    game: str
    annotation: int | None = None
    name: str = ""

    @property
    def generated(self) -> bool:
        """Returns whether it is a generated game."""
        return self.game.startswith(f"{GENERATED}/")

    @property
    def goal(self) -> str | None:
        """Returns the human goal that is its task line; None if it has the game's own.

        Raises:
            InputError: the game has no such annotation.
        """
        if self.annotation is None:
            return None
        goals = human_goals(self.game)
        if self.annotation >= len(goals):
            raise InputError(
                f"{self.game} has {len(goals)} annotations, #0 to #{len(goals) - 1}; there is no #{self.annotation}."
            )
        return goals[self.annotation]


class TaskSource:
    """The tasks of one split, real or generated."""

    def __init__(
        self,
        data: str,
        split: str,
        difficulty: Difficulty = AS_REAL,
        goals: str = "template",
        *,
        compiling: bool = True,
    ) -> None:
        """Finds the data.

        Args:
            data: a folder, "" to look where the data usually is, or "generated".
            split: train, valid_seen or valid_unseen.
            difficulty: of generated games.
            goals: whose task lines real games have, "template" or "human".
            compiling: whether all real games of the split are compiled, once for this and all later processes.

        Raises:
            InputError: a folder was named that has no such games, or an option does not go with these games.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        self.split = split
        self.difficulty = difficulty
        self.goals = goals
        check_name("data=", data)
        self.index: GameIndex | None = None if data == GENERATED else find_games(data, split)
        if self.index is not None and difficulty.label:
            raise InputError(
                f"{difficulty.label} is for generated games, and the games here are real ones from {self.index.root}."
                " Give data=generated, or leave it out."
            )
        if self.index is None and goals == "human":
            raise InputError(
                "goals=human is for real games with their traj_data.json, and there are none here. Give data=PATH."
            )
        self._compiled = open_compiled(self.index) if compiling and self.index is not None else None
        self._known = self._compiled.positions if self._compiled is not None else {}
        self._root = str(self.index.root) if self.index is not None else ""

    def sample(self, seed: int, count: int) -> list[str]:
        """Draws task names; see `envs.types.TextEnv.sample_tasks`.

        With human goals a task is a game with one of its annotations. Every game comes once before any comes again with
        another annotation.
        """
        check_draw(seed, count)
        key = key_of(seed, self.split)
        if self.index is None:
            # Neighbours share the mix of task types evenly; seen rooms get numbers that training never draws.
            first = first_number(seed, self.split, _NUM_GENERATED)
            first += 2 * _NUM_GENERATED if self.split == "valid_seen" else 0
            folder = "/".join(filter(None, (GENERATED, _ROOMS[self.split], self.difficulty.label)))
            return [f"{folder}/{first + number}" for number in range(count)]
        names = self.index.names
        unannotated = (names[position] for position in passes(key, len(names)))
        return list(islice(_annotated(self.index, key) if self.goals == "human" else unannotated, count))

    def describe(self) -> str:
        """Says in one line which games these are."""
        if self.index is None:
            changes = f", {self.difficulty.label}" if self.difficulty.label else ""
            rooms = f"{_ROOMS[self.split]} rooms (split {self.split}{changes})"
            return f"generated household games, {rooms}; no real game is used"
        folder, digest = self.index.root / self.split, self.index.sha256[:12]
        goals = ", goals in the words of annotators" if self.goals == "human" else ""
        return (
            f"{len(self.index.names):,} real ALFWorld games, split {self.split}{goals}, from {folder}, sha256 {digest}"
        )

    def name_of(self, path: str | Path, seed: int = 0) -> str:
        """Returns the task name of a game file given by its path.

        Args:
            path: of the file, or of its folder.
            seed: draws the annotation, where human goals are played.
        """
        given = Path(os.path.realpath(named_path("game", str(path))))
        folder = given.parent if given.name == GAME_FILE else given
        if self.index is not None and folder.is_relative_to(self.index.root):
            name = folder.relative_to(self.index.root).as_posix()
        else:
            name = str(folder if (folder / GAME_FILE).is_file() else given)
        if self.goals == "human":
            return f"{name}#{_annotation_order(self.locate(name).game, key_of(seed, self.split), name)[0]}"
        return name

    def locate(self, name: str) -> Location:
        """Returns where a task comes from.

        Raises:
            InputError: if there is no such task.
        """
        if name.startswith(f"{GENERATED}/"):
            return Location(name)
        if name in self._known:
            return Location(f"{self._root}/{name}/{GAME_FILE}", None, name)
        check_name("task", name)
        annotated = _ANNOTATED.fullmatch(name)
        folder, annotation = (annotated[1], int(annotated[2])) if annotated else (name, None)
        if folder in self._known:
            return Location(f"{self._root}/{folder}/{GAME_FILE}", annotation, folder)
        path = Path(folder)
        if not path.is_absolute():
            if self.index is None:
                raise InputError(
                    f"task {shortened(name)!r} is a real game, but there is no data here. Give data=PATH or set"
                    " ALFWORLD_DATA."
                )
            path = self.index.root / folder
        if path.is_dir():
            path = path / GAME_FILE
        if not path.is_file():
            raise InputError(f"unknown task {shortened(name)!r}: there is no game file {path}.")
        return Location(str(path), annotation)

    def game(self, location: Location) -> Game:
        """Returns the compiled game of a location given by `locate`.

        Raises:
            InputError: if the game file is incomplete or the generated name malformed.
        """
        kept, position = self._compiled, self._known.get(location.name, -1)
        if kept is None or position < 0 or stamp_of(location.game) != kept.games.stamps[position]:
            return compiled(location)
        return _kept(kept, position, location.goal) or compiled(location)


def _annotated(index: GameIndex, key: list[int]) -> Iterator[str]:
    """Yields the games with an annotation each, then with another one, until all have come; then starts over."""
    start = 0
    while True:
        number, left = 0, list(index.names)
        while left:
            alive = set(left)
            left = []
            for name in (index.names[position] for position in order(key, start + number, len(index.names))):
                annotations = _annotation_order(str(index.path(name)), key, name) if name in alive else []
                if number < len(annotations):
                    yield f"{name}#{annotations[number]}"
                    left.append(name)
            number += 1
        start += number


def _annotation_order(game: str, key: list[int], name: str) -> list[int]:
    """Returns the numbers of a game's annotations in an order that the seed and the game's name settle."""
    return list(map(int, order(key, zlib.crc32(name.encode()), len(human_goals(game)))))


def compiled(location: Location) -> Game:
    """Returns the compiled game of a location given by `TaskSource.locate`.

    Raises:
        InputError: if the game file is incomplete or the generated name malformed.
    """
    if location.generated:
        return _generated(location.game)
    return _read(location.game, os.stat(location.game).st_mtime_ns, location.goal)


def generated_arguments(name: str) -> tuple[str, int, Difficulty]:
    """Returns the rooms, the number and the options in the name of a generated task.

    Raises:
        InputError: it is not the name of one.
    """
    _, rooms, *label, number = name.split("/") if name.count("/") in (2, 3) else ("", "", "")
    if rooms not in _ROOMS.values() or not re.fullmatch("0|[1-9][0-9]{0,18}", number):
        raise InputError(
            f"unknown task {shortened(name)!r}: generated tasks are named generated/train/N or generated/unseen/N, with"
            " options as in generated/train/clutter=2/N."
        )
    return rooms, int(number), read_label(label[0]) if label else AS_REAL


@lru_cache(maxsize=256)
def _kept(games: CompiledGames, position: int, goal: str | None) -> Game | None:
    return games.game(position, goal)


@lru_cache(maxsize=256)
def _read(path: str, modified: int, goal: str | None) -> Game:
    """Reads and compiles a game file; a changed file is another one."""
    game = read_game(path)
    problem = game.problem if goal is None else game.problem._replace(sentence=goal)
    return Game(Layout(problem, game.dialect), game.walkthrough)


@lru_cache(maxsize=1024)
def _generated(name: str) -> Game:
    return Game(Layout(generated_problem(name), PACKAGED), ())


def generated_problem(name: str) -> Problem:
    """Returns the facts of a generated task.

    Raises:
        InputError: it is not the name of one.
    """
    from envs.alfworld.generator import generate

    return generate(*generated_arguments(name))
