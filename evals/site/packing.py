"""Episodes packed for a page: a small index of all, and their turns in parts that are unpacked when one is opened.

Everything is JSON, deflated and written in base64, so nothing of it can end a script element or be taken for markup.
Episodes of one task lie beside each other: they begin with the same text, which deflate then stores once, and whoever
compares them unpacks one part.
"""

from __future__ import annotations

import base64
import json
import lzma
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from envs.errors import InputError, first_line
from envs.files import parse_json, understood

PART_BYTES = 1_000_000
"""Size from which a part is closed, before it is packed."""
BUDGET = 17_000_000
"""Characters that the parts of one page may take together: the page stays under 20 MB."""

PURPOSES = ("panel", "training", "equal tokens", "equal seconds", "tuning")
"""In the order in which a page keeps them if it cannot keep all."""


class Source(NamedTuple):
    """Whose episodes some rows are.

    Attributes:
        name: what people see, a policy or an arm.
        rows: rows of `episodes.jsonl`.
    """

    name: str
    rows: Iterable[Mapping[str, Any]]


@dataclass
class Packed:
    """What a page embeds.

    Attributes:
        index: what lists and filters need of all episodes.
        parts: their turns.
        count: number of episodes in the page.
        left_out: number of those that did not fit.
    """

    index: str
    parts: list[str]
    count: int
    left_out: int


class _Entry(NamedTuple):
    """An episode on its way into a page."""

    order: tuple[int, int, int, int]
    facts: tuple[Any, ...]
    body: str


COLUMNS = ("source", "purpose", "temperature", "task", "seed", "iteration", "member", "won", "stop", "turns")


@dataclass
class _Names:
    """Gives each text a number at first sight."""

    numbers: dict[Any, int] = field(default_factory=dict)

    def __call__(self, name: Any) -> int:  # noqa: ANN401
        return self.numbers.setdefault(name, len(self.numbers))

    @property
    def list(self) -> list[Any]:
        return list(self.numbers)


class _Tables:
    """The texts that many episodes share, each kept once."""

    def __init__(self) -> None:
        self.purposes, self.temperatures, self.stops = _Names(), _Names(), _Names()
        self.tasks, self.kinds = _Names(), _Names()
        self.task_facts: dict[int, tuple[int, str]] = {}

    def entry(self, source: int, row: Mapping[str, Any]) -> _Entry:
        """Reads a row.

        Raises:
            KeyError: it is no episode.
        """
        task = self.tasks(str(row["task"]))
        self.task_facts.setdefault(task, (self.kinds(str(row.get("task_type", ""))), str(row.get("goal", ""))))
        purpose = str(row.get("purpose") or "panel")
        rank = PURPOSES.index(purpose) if purpose in PURPOSES else len(PURPOSES)
        iteration, member = int(row.get("iteration", -1)), int(row.get("member", 0))
        facts = (
            source,
            self.purposes(purpose),
            self.temperatures(_number(row.get("temperature"))),
            task,
            int(row.get("seed", 0)),
            iteration,
            member,
            int(bool(row["won"])),
            self.stops(str(row.get("stop", ""))),
            len(row["turns"]),
        )
        return _Entry((rank, task, iteration, source), facts, json.dumps(_body(row), separators=(",", ":")))

    def index(self, sources: Sequence[str], entries: Sequence[_Entry], places: Sequence[tuple[int, int]]) -> str:
        columns = {name: [entry.facts[i] for entry in entries] for i, name in enumerate(COLUMNS)}
        columns |= {"part": [part for part, _ in places], "place": [place for _, place in places]}
        content = {
            "sources": list(sources),
            "purposes": self.purposes.list,
            "temperatures": self.temperatures.list,
            "stops": self.stops.list,
            "kinds": self.kinds.list,
            "tasks": [[name, *self.task_facts[number]] for name, number in self.tasks.numbers.items()],
            "columns": columns,
        }
        return packed(content)


def pack(sources: Sequence[Source], budget: int = BUDGET) -> Packed:
    """Packs episodes; if they do not all fit, whole tasks of the panel come first and tuning last.

    Args:
        sources: whose episodes there are.
        budget: characters that their turns may take.

    Raises:
        InputError: a row is no episode.
    """
    tables, entries = _Tables(), list[_Entry]()
    for number, source in enumerate(sources):
        for line, row in enumerate(source.rows, 1):
            with understood(f"row {line} of the episodes of {source.name}", "an episode"):
                entries.append(tables.entry(number, row))
    entries.sort(key=lambda entry: entry.order)
    parts, places = list[str](), list[tuple[int, int]]()
    room = budget
    for bodies in _cut(entries):
        part = packed(f"[{','.join(bodies)}]")
        room -= len(part)
        if room < 0:
            break
        places += [(len(parts), place) for place in range(len(bodies))]
        parts.append(part)
    kept = entries[: len(places)]
    index = tables.index([source.name for source in sources], kept, places)
    return Packed(index, parts, len(kept), len(entries) - len(kept))


def packed(content: Any) -> str:  # noqa: ANN401
    """JSON (text is taken as it is) as deflate in base64."""
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def read_rows(path: Path) -> Iterable[dict[str, Any]]:
    """Reads an `episodes.jsonl`, or one packed by LZMA (`.xz`), row by row.

    A last line that a kill cut off is left out.

    Raises:
        InputError: there is no such file, or another line of it is broken.
    """
    try:
        # In bytes: texts may hold separators that are line ends elsewhere, and a kill can cut a character in two.
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield _row(line, f"{path}, line {number},")
                except InputError:
                    if line.endswith(b"\n"):
                        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"{path} cannot be unpacked: {first_line(error)}.") from None


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = parse_json(line.decode("utf-8"), where, halves=True)
    except UnicodeDecodeError:
        raise InputError(f"{where} is not UTF-8 text.") from None
    if not isinstance(row, dict):
        raise InputError(f"{where} is no JSON object.")
    return row


def _cut(entries: Sequence[_Entry]) -> Iterable[list[str]]:
    """Bodies of one part after another; a part ends where a task ends."""
    bodies, size = list[str](), 0
    for number, entry in enumerate(entries, 1):
        following = entries[number] if number < len(entries) else None
        bodies.append(entry.body)
        size += len(entry.body)
        if following is None or (size >= PART_BYTES and following.order[:2] != entry.order[:2]):
            yield bodies
            bodies, size = [], 0


def _body(row: Mapping[str, Any]) -> list[Any]:
    """What only an opened episode shows: final text, error, seconds, and its turns."""
    seconds = _number((row.get("cost") or {}).get("seconds"))
    return [_text(row.get("final")), _text(row.get("error")), seconds, [_turn(turn) for turn in row["turns"]]]


def _turn(turn: Mapping[str, Any]) -> list[Any]:
    """A turn without what it would say twice: action and anchor are None where they are what was said and seen."""
    saw, said, action, anchor = str(turn["saw"]), str(turn["said"]), str(turn["action"]), _text(turn.get("anchor"))
    return [
        saw,
        said,
        None if action == said else action,
        int(bool(turn["valid"])),
        _number(turn.get("reward")),
        _number(turn.get("advantage")),
        True if anchor == saw else anchor,
        _number(turn.get("tokens")),
    ]


def _text(value: Any) -> str | None:  # noqa: ANN401
    return None if value is None else str(value)


def _number(value: Any) -> float | None:  # noqa: ANN401
    """JSON has no infinity; what is no number is not shown."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None
