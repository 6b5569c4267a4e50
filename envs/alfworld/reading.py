"""Reads ALFWorld's game files (`game.tw-pddl`, formats 2.1.1 and 2.1.2) into a `Problem`.

A game file is one JSON object: the PDDL domain, the grammar of the text, the PDDL problem, whether it can be solved
and, in format 2.1.2, a walkthrough. Nothing in a file is ever executed here. (The stock engine does execute expressions
of the grammar, so `UncoveredError` says whether a file that the rules do not cover has a known grammar.)
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

from envs.alfworld.dialects import TASK_LINE, Dialect, UncoveredError, recognise
from envs.alfworld.pddl import parse_goal, parse_problem
from envs.alfworld.problem import Problem
from envs.errors import InputError

MOST_BYTES = 8 << 20
"""The largest file that is read. The published ones have at most 140 KB, and their annotation files 650 KB."""

SPECIAL = re.compile(r'[;|"<>\[\]#{}\\\x00-\x1f\ud800-\udfff]')
"""Characters that the grammar would take for its own, or that its parser skips."""

# What the stock engine's grammar marks expressions with. No published domain or problem holds any of it.
_MARKS = re.compile(r'[{}\[\]#"<>\\]')
_MOST_COMMAND = 500


class GameFile(NamedTuple):
    """What one `game.tw-pddl` says.

    Attributes:
        problem: its facts.
        walkthrough: commands that win it; empty in format 2.1.1.
        dialect: how it words things.
    """

    problem: Problem
    walkthrough: tuple[str, ...]
    dialect: Dialect


class Outline(NamedTuple):
    """What can be said of any game file, even one that the rules do not cover.

    Attributes:
        sentence: the task line.
        task_type: one of ALFWorld's six names, "unknown" for another goal.
        walkthrough: commands that win it; empty if the file has none.
    """

    sentence: str
    task_type: str
    walkthrough: tuple[str, ...]


class _Parts(NamedTuple):
    domain: str
    grammar: str
    facts: str
    walkthrough: tuple[str, ...]


def read_game(path: str | Path) -> GameFile:
    """Reads a game file.

    Args:
        path: of the `game.tw-pddl`.

    Returns:
        What it says.

    Raises:
        UncoveredError: if it uses something the rules do not cover.
        InputError: if it cannot be read or is incomplete.
    """
    return parse_game(_read_text(path), str(path))


def parse_game(content: str, source: str) -> GameFile:
    """Reads the text of a game file.

    Args:
        content: the JSON text.
        source: what to call it in errors.

    Returns:
        What it says.

    Raises:
        UncoveredError: if it uses something the rules do not cover.
        InputError: if it is incomplete.
    """
    parts = _parts(content, source)
    try:
        dialect = recognise(parts.domain, parts.grammar)
        problem = parse_problem(parts.facts, _sentence(parts.grammar))
    except UncoveredError as error:
        known = error.grammar_known and _brings_no_expression(parts)
        raise UncoveredError(f"{source}: {error.what}", grammar_known=known) from error
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return GameFile(problem, parts.walkthrough, dialect)


def read_outline(path: str | Path) -> Outline:
    """Reads what can be said of any game file.

    Args:
        path: of the `game.tw-pddl`.

    Returns:
        Its task and walkthrough.

    Raises:
        InputError: if it cannot be read or is incomplete.
    """
    parts = _parts(_read_text(path), str(path))
    lines = TASK_LINE.findall(parts.grammar)
    try:
        task_type = parse_goal(parts.facts).task_type
    except UncoveredError:
        task_type = "unknown"
    return Outline(lines[0] if lines else "", task_type, parts.walkthrough)


def load_json(content: str | bytes, source: str, kind: str = "game file") -> dict[str, Any]:
    """Reads the JSON object of a game file.

    Args:
        content: the file's content.
        source: what to call it in errors.
        kind: what sort of file it is, for errors.

    Returns:
        The object.

    Raises:
        InputError: if it is incomplete.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not a complete {kind}: its JSON is cut or malformed ({error}).") from error
    if not isinstance(data, dict):
        raise InputError(f"{source} is not a {kind}: it should hold one JSON object.")
    return data


def read_bytes(path: str | Path, kind: str = "game file") -> bytes:
    """Reads a file of bounded size.

    Args:
        path: of an ordinary file; what is something else (a folder, a pipe, a device) is not opened.
        kind: what sort of file it is, for errors.

    Returns:
        Its content.

    Raises:
        InputError: if it cannot be read or is larger than `MOST_BYTES`.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise InputError(f"cannot read the {kind} {path}: it is not an ordinary file.")
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the {kind} {path}: {error.strerror or error}.") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"cannot read the {kind} {path}: it has more than {MOST_BYTES >> 20} MB.")
    return content


def _read_text(path: str | Path) -> str:
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a game file: it is not text.") from error


def _parts(content: str, source: str) -> _Parts:
    data = load_json(content, source)
    for key in ("pddl_domain", "grammar", "pddl_problem"):
        if not isinstance(data.get(key), str):
            raise InputError(f"{source} is not a complete game file: {key!r} is missing or not text.")
    walkthrough = data.get("walkthrough") or []
    if not isinstance(walkthrough, list) or not all(map(_is_command, walkthrough)):
        raise InputError(f"{source}: 'walkthrough' should be a list of commands.")
    return _Parts(data["pddl_domain"], data["grammar"], data["pddl_problem"], tuple(walkthrough))


def _brings_no_expression(parts: _Parts) -> bool:
    """Whether a file with a known grammar holds nothing else that the stock engine could take for an expression."""
    try:
        _sentence(parts.grammar)
    except InputError:
        return False
    return not _MARKS.search(parts.domain) and not _MARKS.search(parts.facts)


def _is_command(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_COMMAND and value.isprintable()


def _sentence(grammar: str) -> str:
    """Returns the task line out of the grammar."""
    lines = TASK_LINE.findall(grammar)
    if len(lines) != 1:
        raise InputError(f"its grammar has {len(lines)} task lines ('Your task is to: ...') where it should have one.")
    try:
        sentence = str(json.loads(f'"{lines[0]}"'))
    except ValueError as error:
        raise InputError(f"its task line is malformed ({error}).") from error
    special = SPECIAL.search(sentence)
    if special:
        raise UncoveredError(
            f"its task line holds {special[0]!r}, which means something in the grammar", grammar_known=False
        )
    return sentence
