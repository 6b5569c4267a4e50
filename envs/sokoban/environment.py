"""The Sokoban environment: levels from files, or generated ones of stated difficulty.

A turn shows the board, one symbol a square with spaces in between, so that every square is a token of its own, and says
where the player, the boxes and the targets are. A move into a wall or against a box that cannot move is answered with
the reason and takes a turn.

The win pays 1, nothing else pays: the shaped rewards that some versions have (for a box put on a target, a cost for
every step) are left to wrappers, as they change what is learned. A level that can no longer be won goes on until
`max_turns`, as in Boxoban (Guez et al., arXiv 1901.03559), whose levels are played for 120 moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, ClassVar

import gymnasium

from envs.config_schema import key
from envs.drawing import check_draw, check_reset, first_number, key_of, passes, seed_of
from envs.errors import InputError, shortened
from envs.players import RandomPlayer
from envs.sokoban.board import MOVES, Level, drawn, moved, squares_of
from envs.sokoban.files import LevelFiles
from envs.sokoban.generator import SPLITS, Difficulty, generate, read_label
from envs.sokoban.players import OraclePlayer, PacingPlayer
from envs.sokoban.solver import MOST_POSITIONS, solve, walked
from envs.types import Info, Player, TextEnv

_RULES = (
    "This is Sokoban. Push every box onto a target. You move up, down, left or right; moving into a box pushes it if"
    " the square behind it is free. A box cannot be pulled.\n"
    "# wall, _ floor, $ box, . target, * box on a target, @ you, + you on a target."
)
_GENERATED = "generated"
_NUM_GENERATED = 2**31


@dataclass(frozen=True)
class _PlayConfig:
    split: str = key("train", "which levels", choices=SPLITS)
    data: str = key("", "file or folder of levels in Boxoban's text format; empty generates levels")
    max_turns: int = key(30, "moves after which an episode is truncated", unit="turns", minimum=1)


@dataclass(frozen=True)
class SokobanConfig(Difficulty, _PlayConfig):
    """Options of Sokoban; those of `Difficulty`, listed last, are for generated levels only."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: if one is not allowed.
        """
        super().__post_init__()
        changed = [field.name for field in fields(Difficulty) if getattr(self, field.name) != field.default]
        if self.data and changed:
            raise InputError(
                f"{', '.join(changed)} are for generated levels, and data={self.data} gives levels from files."
                " Leave out one or the other."
            )


class Sokoban(TextEnv):
    """Sokoban: push every box onto a target."""

    config_class: ClassVar[type[Any]] = SokobanConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {
        "random": RandomPlayer,
        "oracle": OraclePlayer,
        "pacing": PacingPlayer,
    }
    cloned: ClassVar[tuple[str, ...]] = ("oracle", "pacing")
    step_parts: ClassVar[Mapping[str, str]] = {
        "envs.sokoban.board.drawn": "text",
        "envs.sokoban.environment.Sokoban._text": "text",
        "envs.sokoban.environment._places": "text",
        "envs.sokoban.*": "rules",
    }

    def __init__(self, config: SokobanConfig | None = None, **options: Any) -> None:  # noqa: ANN401 - fields of the config
        """Finds the levels.

        Args:
            config: the options; or give them one by one.
            **options: fields of `SokobanConfig`.

        Raises:
            InputError: if an option is not valid, or the files hold no levels of the split.
        """
        self.config = config if config is not None else SokobanConfig(**options)
        self._files = LevelFiles(self.config.data, self.config.split) if self.config.data else None
        self._level: Level | None = None
        self._boxes = 0
        self._player = 0
        self._task = ""
        self._task_type = ""
        self._said = ""
        self._turns = 0

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws `count` task names of the split; see `TextEnv.sample_tasks`."""
        check_draw(seed, count)
        if self._files is None:
            first = first_number(seed, self.config.split, _NUM_GENERATED)
            folder = f"{_GENERATED}/{self.config.split}/{self.config.label}"
            return [f"{folder}/{first + number}" for number in range(count)]
        drawn = passes(key_of(seed, self.config.split), self._files.count)
        return [self._files.name(position) for position in islice(drawn, count)]

    @property
    def evaluation_split(self) -> str:
        """The validation levels; the test levels where the data has no others."""
        if self.config.data and self.config.split == "test":
            return "test"
        return "valid"

    def content_of(self, task: str) -> str:
        """The board."""
        level, _ = self._open(task)
        return _board(level, level.boxes, level.player)

    def describe_data(self) -> str:
        """Says in one line which levels are played."""
        if self._files is None:
            return (
                f"generated Sokoban levels, {self.config.label} (split {self.config.split}); no published level is used"
            )
        return (
            f"{self._files.count:,} Sokoban levels from {self.config.data}, split {self.config.split},"
            f" sha256 {self._files.sha256[:12]}"
        )

    def solution(self, most_positions: int = MOST_POSITIONS) -> list[str]:
        """Returns moves that win from where the game stands, with as few pushes as possible.

        Args:
            most_positions: positions to look at before giving up.

        Raises:
            ResetNeeded: before the first `reset`.
            UnsolvedError: there is no solution, or none was found within the bound.
        """
        level = self._started()
        pushes = solve(level, self._boxes, self._player, most_positions)
        return walked(level, self._boxes, self._player, pushes)

    def board_after(self, move: str) -> str:
        """Returns what the board would look like after a move, which is `info["anchor"]` then."""
        level = self._started()
        boxes, player, _ = moved(level, self._boxes, self._player, move)
        return _board(level, boxes, player)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task.

        Args:
            seed: chooses the first task of `sample_tasks(seed, 1)` unless `options` names one.
            options: {"task": a task's name}.

        Returns:
            The rules and the board, and what `Info` describes.

        Raises:
            InputError: if there is no such task, or its level is broken.
        """
        gymnasium.Env.reset(self, seed=seed)
        check_reset(options or {})
        drawn_seed = seed_of(self, seed)
        task = str(options["task"]) if options else self.sample_tasks(drawn_seed, 1)[0]
        level, self._task_type = self._open(task)
        self._task, self._level, self._turns = task, level, 0
        self._boxes, self._player = level.boxes, level.player
        self._said = self._text(level, _RULES)
        return self._said, self._info(level)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Plays one move; after the end nothing happens any more and the last text is returned again.

        Args:
            action: any text; one of up, down, left and right moves.

        Returns:
            What came of it and the board, 1.0 at the win else 0.0, whether it is won, whether the turns are spent, and
            `Info`.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        level = self._started()
        if self._won or self._turns >= self.config.max_turns:
            return self._said, 0.0, self._won, not self._won, self._info(level)
        self._turns += 1
        self._boxes, self._player, what = moved(level, self._boxes, self._player, action.strip().lower())
        self._said = self._text(level, what)
        truncated = not self._won and self._turns >= self.config.max_turns
        return self._said, float(self._won), self._won, truncated, self._info(level)

    @property
    def _won(self) -> bool:
        return self._level is not None and self._boxes == self._level.targets

    def _started(self) -> Level:
        if self._level is None:
            raise gymnasium.error.ResetNeeded("call reset() first")
        return self._level

    def _open(self, task: str) -> tuple[Level, str]:
        """Returns a task's level and its kind."""
        if task.startswith(f"{_GENERATED}/"):
            _, split, label, number = task.split("/") if task.count("/") == 3 else ("", "", "", "")
            if split not in SPLITS or not (number.isascii() and number.isdigit() and len(number) < 20):
                example = f"{_GENERATED}/{self.config.split}/{self.config.label}/0"
                raise InputError(f"unknown task {shortened(task)!r}. Generated levels are named like {example!r}.")
            level, pushes = generate(read_label(label), split, int(number))
            return level, f"{_counted(level.boxes.bit_count(), 'box')}, {_counted(pushes, 'push')}"
        if self._files is None:
            example = f"{_GENERATED}/{self.config.split}/{self.config.label}/0"
            raise InputError(
                f"unknown task {shortened(task)!r}. Generated levels are named like {example!r}; levels of files need"
                " data=PATH."
            )
        level = self._files.level(task)
        return level, _counted(level.boxes.bit_count(), "box")

    def _text(self, level: Level, what: str) -> str:
        if self._won:
            return f"{what} Every box is on a target: you win.\n{_board(level, self._boxes, self._player)}"
        return (
            f"{what}\n{_board(level, self._boxes, self._player)}\n"
            f"You are at {_places(level, 1 << self._player)}."
            f" Boxes off target: {_places(level, self._boxes & ~level.targets)}."
            f" Free targets: {_places(level, level.targets & ~self._boxes)}."
        )

    def _info(self, level: Level) -> Info:
        here = self._boxes, self._player
        return {
            "admissible_commands": sorted(move for move in MOVES if moved(level, *here, move)[:2] != here),
            "anchor": _board(level, *here),
            "won": self._won,
            "goal": f"push {_counted(level.boxes.bit_count(), 'box')} onto the targets",
            "task": self._task,
            "task_type": self._task_type,
        }


def _board(level: Level, boxes: int, player: int) -> str:
    return "\n".join(" ".join(row) for row in drawn(level, boxes, player, floor="_"))


def _places(level: Level, squares: int) -> str:
    """Lists squares by row and column, counted from 1."""
    places = [divmod(square, level.width) for square in squares_of(squares)]
    return "; ".join(f"row {row + 1}, column {column + 1}" for row, column in places)


def _counted(number: int, word: str) -> str:
    plural = {"box": "boxes", "push": "pushes"}[word]
    return f"{number} {word if number == 1 else plural}"
