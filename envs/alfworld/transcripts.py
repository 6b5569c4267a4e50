"""Transcripts: all that an engine says during a walk, their hashes, and the committed table of the stock engine's.

The table holds one line a game and kind of walk: the first 12 hexadecimal digits of the SHA-256 of the game's name, the
kind, and the first 32 digits of the transcript's SHA-256. Its lines stand in the order of `verify`, which is stratified
by split and task type, so that any beginning of the table is a fair sample of all games.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, Protocol

from envs.alfworld.walks import Walk
from envs.errors import InputError
from envs.files import read_text, replace

TABLE = Path(__file__).with_name("transcripts.tsv")
"""The committed table."""
_LINE = re.compile(r"([0-9a-f]{12})\t([a-z]+)\t([0-9a-f]{32})")


class Engine(Protocol):
    """What `rules.World` and `reference.ReferenceWorld` have in common."""

    def reset(self) -> str:
        """Starts again and returns the first text."""
        ...

    def step(self, command: str) -> str:
        """Plays one command and returns what the game says."""
        ...

    def admissible_commands(self) -> list[str]:
        """Returns the admissible commands, sorted."""
        ...

    @property
    def won(self) -> bool:
        """Whether the goal holds now."""
        ...


class Answer(NamedTuple):
    """What an engine says to one command.

    Attributes:
        command: what was played; "" for the reset.
        text: the feedback.
        admissible_commands: what is admissible afterwards, sorted.
        won: whether the goal holds afterwards.
    """

    command: str
    text: str
    admissible_commands: tuple[str, ...]
    won: bool


class Difference(NamedTuple):
    """Where two transcripts part.

    Attributes:
        turn: number of the command, 0 for the reset.
        played: the commands up to it.
        what: "command", "text", "admissible_commands" or "won"; "length" if one transcript ends there.
        expected: what the first transcript says.
        found: what the second one says.
    """

    turn: int
    played: tuple[str, ...]
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        lines = [f"turn {self.turn}, {self.what} differs", f"  expected: {self.expected}", f"  found:    {self.found}"]
        return "\n".join([*lines, "  after: " + " | ".join(map(repr, self.played[-8:]))])


def play(engine: Engine, walk: Walk) -> list[Answer]:
    """Leads an engine through a walk.

    Args:
        engine: the engine, which is reset first.
        walk: a walk that has not begun.

    Returns:
        (1 + walk.length) answers, the reset's first.
    """
    answers = [Answer("", engine.reset(), tuple(engine.admissible_commands()), engine.won)]
    for _ in range(walk.length):
        command = walk.next(answers[-1].text, answers[-1].admissible_commands)
        answers.append(Answer(command, engine.step(command), tuple(engine.admissible_commands()), engine.won))
    return answers


def digest(answers: Sequence[Answer]) -> str:
    """Hashes a transcript: 32 hexadecimal digits."""
    lines = "\n".join(json.dumps(answer) for answer in answers)
    return hashlib.sha256(lines.encode()).hexdigest()[:32]


def first_difference(expected: Sequence[Answer], found: Sequence[Answer]) -> Difference | None:
    """Returns where two transcripts part, None if they are equal."""
    for turn, (one, other) in enumerate(zip_longest(expected, found)):
        played = tuple(answer.command for answer in expected[: turn + 1])
        if one is None or other is None:
            return Difference(turn, played, "length", str(len(expected)), str(len(found)))
        for what, left, right in zip(Answer._fields, one, other, strict=True):
            if left != right:
                return Difference(turn, played, what, *_apart(left, right))
    return None


def game_key(name: str) -> str:
    """Names a game in the table."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def read_table(path: Path) -> dict[tuple[str, str], str]:
    """Reads a table.

    Args:
        path: of the table; one that is not there is empty.

    Returns:
        Transcript hash by (game key, kind of walk), in file order.

    Raises:
        InputError: it is damaged.
    """
    if not path.is_file():
        return {}
    table = {}
    for number, line in enumerate(read_text(path, "table").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(f"{path}, line {number}: expected a game, a walk and a hash, separated by tabs.")
        table[match[1], match[2]] = match[3]
    return table


def write_table(path: Path, rows: Iterator[tuple[str, str, str]]) -> int:
    """Writes a table aside and renames it.

    Args:
        path: of the table.
        rows: (game's name, kind of walk, transcript hash).

    Returns:
        How many lines it has.
    """
    lines = [f"{game_key(name)}\t{kind}\t{hashed}\n" for name, kind, hashed in rows]
    replace(path, "".join(lines).encode())
    return len(lines)


def _apart(expected: object, found: object) -> tuple[str, str]:
    """Shows two values; of two lists only what the other lacks."""
    if isinstance(expected, tuple) and isinstance(found, tuple):
        missing = sorted(set(expected) - set(found))
        extra = sorted(set(found) - set(expected))
        return f"{len(expected)} commands, with {missing}", f"{len(found)} commands, with {extra}"
    return repr(expected), repr(found)
