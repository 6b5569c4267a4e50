"""Tasks of ALFWorld by name: which there are, how they are drawn, and the compiled game behind a name.

A real game is named by its folder below the data root ("valid_seen/pick_.../trial_..."), a generated one by its rooms
and its number ("generated/train/12345"), a game file given by its path by that path. Compiled games are shared by all
environments of the process and kept while they are among the last used.
"""

from __future__ import annotations

import os
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.alfworld.dialects import PACKAGED
from envs.alfworld.games import GAME_FILE, SPLITS, GameIndex, find_games
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.reading import read_game
from envs.errors import InputError, unknown

GENERATED = "generated"
_ROOMS = {"train": "train", "valid_seen": "train", "valid_unseen": "unseen"}
_NUM_GENERATED = 2**31


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
            raise InputError(f"the game {self.layout.problem.name} cannot be won: no plan reaches its goal.")
        return solution


class TaskSource:
    """The tasks of one split, real or generated."""

    def __init__(self, data: str, split: str) -> None:
        """Finds the data.

        Args:
            data: a folder, "" to look where the data usually is, or "generated".
            split: train, valid_seen or valid_unseen.

        Raises:
            InputError: if a folder was named that has no such games.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        self.split = split
        self.index: GameIndex | None = None if data == GENERATED else find_games(data, split)

    def sample(self, seed: int, count: int) -> list[str]:
        """Draws task names; see `envs.types.TextEnv.sample_tasks`."""
        if seed < 0 or count < 0:
            raise InputError(f"cannot draw {count} tasks with the seed {seed}: both should be 0 or more.")
        key = [seed, zlib.crc32(self.split.encode())]
        if self.index is None:
            # Neighbours share the mix of task types evenly; seen rooms get numbers that training never draws.
            first = int(np.random.default_rng(key).integers(_NUM_GENERATED))
            first += 2 * _NUM_GENERATED if self.split == "valid_seen" else 0
            return [f"{GENERATED}/{_ROOMS[self.split]}/{first + number}" for number in range(count)]
        names = self.index.names
        drawn: list[str] = []
        while len(drawn) < count:
            order = np.random.default_rng([*key, len(drawn) // len(names)]).permutation(len(names))
            drawn += [names[position] for position in order]
        return drawn[:count]

    def describe(self) -> str:
        """Says in one line which games these are."""
        if self.index is None:
            return f"generated household games, {_ROOMS[self.split]} rooms (split {self.split}); no real game is used"
        folder, digest = self.index.root / self.split, self.index.sha256[:12]
        return f"{len(self.index.names):,} real ALFWorld games, split {self.split}, from {folder}, sha256 {digest}"

    def name_of(self, path: str | Path) -> str:
        """Returns the task name of a game file given by its path."""
        folder = Path(path).expanduser().resolve()
        folder = folder.parent if folder.name == GAME_FILE else folder
        if self.index is not None and folder.is_relative_to(self.index.root):
            return folder.relative_to(self.index.root).as_posix()
        return str(folder if (folder / GAME_FILE).is_file() else Path(path).expanduser().resolve())

    def locate(self, name: str) -> str:
        """Returns where a task comes from: a game file's path, or the name itself if it is generated.

        Raises:
            InputError: if there is no such task.
        """
        if is_generated(name):
            return name
        path = Path(name)
        if not path.is_absolute():
            if self.index is None:
                raise InputError(
                    f"task {name!r} is a real game, but there is no data here. Give data=PATH or set ALFWORLD_DATA."
                )
            path = self.index.root / name
        if path.is_dir():
            path = path / GAME_FILE
        if not path.is_file():
            raise InputError(f"unknown task {name!r}: there is no game file {path}.")
        return str(path)


def is_generated(name: str) -> bool:
    """Whether a task is a generated one."""
    return name.startswith(f"{GENERATED}/")


def compiled(location: str) -> Game:
    """Returns the compiled game of a location given by `TaskSource.locate`.

    Raises:
        InputError: if the game file is incomplete or the generated name malformed.
    """
    if is_generated(location):
        return _generated(location)
    return _read(location, os.stat(location).st_mtime_ns)


def generated_arguments(name: str) -> tuple[str, int]:
    """Returns the rooms and the number in the name of a generated task."""
    parts = name.split("/")
    if len(parts) != 3 or parts[1] not in _ROOMS.values() or not (parts[2].isascii() and parts[2].isdigit()):
        raise InputError(f"unknown task {name!r}: generated tasks are named generated/train/N or generated/unseen/N.")
    return parts[1], int(parts[2])


@lru_cache(maxsize=1024)
def _read(path: str, modified: int) -> Game:
    """Reads and compiles a game file; a changed file is another one."""
    game = read_game(path)
    return Game(Layout(game.problem, game.dialect), game.walkthrough)


@lru_cache(maxsize=1024)
def _generated(name: str) -> Game:
    from envs.alfworld.generator import generate

    return Game(Layout(generate(*generated_arguments(name)), PACKAGED), ())
