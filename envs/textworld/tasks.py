"""Tasks of TextWorld by name: which there are, how they are drawn, and the game file behind a name.

A made game is named by what made it ("cooking/recipe=1,take=1,go=6/train/17"), a game file by its path below the folder
that was named (`data=FOLDER`), or by its own path (`data=FILE`, `options={"game": path}`).

A folder with folders train, valid and test below it has those splits. In any other the games are divided in an order
that their names settle: a tenth to valid, a tenth to test, at least one each where there are two and three games.
"""

from __future__ import annotations

import hashlib
import os
from itertools import islice
from pathlib import Path

from envs.drawing import check_draw, key_of, passes
from envs.errors import InputError, shortened
from envs.files import check_name, named_path
from envs.textworld.families import SPLITS, Family, is_made, task_name
from envs.textworld.files import find, made_file, playable


class TaskSource:
    """The tasks of one split."""

    def __init__(self, data: str, split: str, family: Family, games: int) -> None:
        """Finds the games.

        Args:
            data: a game file, or a folder of them; "" for games that are made.
            split: train, valid or test.
            family: what is made.
            games: how many are made.

        Raises:
            InputError: a file or folder was named that has no game of the split.
        """
        self.split = split
        self.family = family
        self._num_games = games
        self._root: Path | None = None
        self._names: list[str] = []
        if data:
            self._root, self._names = _given(data, split)
            self._num_games = len(self._names)

    def sample(self, seed: int, num_tasks: int) -> list[str]:
        """Draws task names; see `envs.types.TextEnv.sample_tasks`."""
        check_draw(seed, num_tasks)
        drawn = passes(key_of(seed, self.split), self._num_games)
        return [self._name(number) for number in islice(drawn, num_tasks)]

    def describe(self) -> str:
        """Says in one line which games these are."""
        if self._root is None:
            return f"{self._num_games:,} TextWorld games made from seeds: {self.family.label}, split {self.split}"
        digest = hashlib.sha256("\n".join(self._names).encode()).hexdigest()[:12]
        return (
            f"{len(self._names):,} TextWorld game files, split {self.split}, from {self._root}, sha256 of their names"
            f" {digest}"
        )

    def name_of(self, path: str | Path) -> str:
        """Returns the task name of a game file given by its path.

        Raises:
            InputError: there is no such file.
        """
        real = Path(os.path.realpath(named_path("game", str(path))))
        playable(real)
        if self._root is not None and real.is_relative_to(self._root):
            return real.relative_to(self._root).as_posix()
        return str(real)

    def locate(self, name: str) -> Path:
        """Returns the story file of a task, made first where need be.

        Raises:
            MissingExtraError: a game must be made or compiled and TextWorld is not installed.
            InputError: there is no such task.
        """
        if is_made(name):
            return made_file(name)
        check_name("task", name)
        path = Path(name)
        if not path.is_absolute():
            if self._root is None:
                raise InputError(
                    f"unknown task {shortened(name)!r}. Made games are named as coin_collector/level=5/train/17; for"
                    " game files give data=FILE or FOLDER."
                )
            path = self._root / name
        if not path.is_file():
            raise InputError(f"unknown task {shortened(name)!r}: there is no game file {path}.")
        return playable(path)

    def _name(self, number: int) -> str:
        return task_name(self.family, self.split, number) if self._root is None else self._names[number]


def _given(data: str, split: str) -> tuple[Path, list[str]]:
    """Returns the root of the games that the user named, and the names of those of the split, sorted."""
    path = Path(os.path.realpath(named_path("data=", data)))
    if path.is_file():
        playable(path)
        root, names = path.parent, [path.name]
    elif path.is_dir():
        root, names = path, [game.relative_to(path).as_posix() for game in find(path)]
    else:
        raise InputError(f"data={shortened(data)}: there is no such file or folder.")
    if not names:
        raise InputError(f"data={shortened(data)}: no game is there. A game is a .z8 or .ulx file and its .json.")
    parts = _divided(names)
    if not parts[split]:
        sizes = ", ".join(f"{name} {len(parts[name])}" for name in SPLITS)
        raise InputError(f"data={shortened(data)} has no game for split={split} (games a split: {sizes}).")
    return root, parts[split]


def _divided(names: list[str]) -> dict[str, list[str]]:
    """Divides games among the splits."""
    published = {split: [name for name in names if name.startswith(f"{split}/")] for split in SPLITS}
    if any(published.values()):
        return published
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    num_test = max(len(order) // 10, int(len(order) >= 3))
    num_valid = max(len(order) // 10, int(len(order) >= 2))
    num_train = len(order) - num_valid - num_test
    ends = {"train": order[:num_train], "valid": order[num_train : num_train + num_valid]}
    ends["test"] = order[num_train + num_valid :]
    return {split: sorted(part) for split, part in ends.items()}
