"""The panel of what names none: one where its world's entries stand, and under their conditions.

One that can be played without data comes first; then one that was played as what is added plays; then a fixed one. A
panel that was drawn is drawn again: same split, seed and number of tasks, and the options that its tasks are made from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from agents.starts import WARM, locate, written
from envs import presets
from envs.config import load
from envs.registry import config_class, options_of
from evals.leaderboard import committed
from evals.leaderboard.contents import tasks_of
from evals.leaderboard.entries import Entry, conditions
from evals.leaderboard.ranking import tables
from evals.leaderboard.sources import Source
from evals.panels import read as read_panel
from evals.run import EvalConfig

_OTHERS = " panel=NAME chooses another."


class _Table(NamedTuple):
    """A table of committed entries as something to play.

    Attributes:
        name: its panel's name.
        size: how many entries it has.
        words: the arguments that play its panel under its conditions, by key.
        said: those of them that change how the source itself would play.
        needs_data: whether its tasks are in data that nobody has named.
        rank: what is taken first.
    """

    name: str
    size: int
    words: dict[str, str]
    said: str
    needs_data: bool
    rank: tuple[Any, ...]


def choose(source: Source, typed: Mapping[str, str], words: Sequence[str]) -> tuple[list[str], str]:
    """Chooses the panel of what names none.

    Args:
        source: what is added.
        typed: what the user typed, by key; a panel that contradicts it is not chosen.
        words: all arguments without the panel's.

    Returns:
        The arguments that play the panel, and a line that says which it is and why; empty where nothing was chosen.

    Raises:
        InputError: the world or one of its options is not valid.
    """
    given = dict(word.partition("=")[::2] for word in words)
    if "config" in given:
        return [], ""  # the saved configuration of an evaluation names its own
    world = load(EvalConfig, [word for word in words if re.match(r"(env|data)[.=]", word)]).env
    own, stand = source.panel, [entry for entry in committed.entries() if entry["env"] == world.name]
    peers = sum(tasks_of(entry["panel"]) == tasks_of(own) for entry in stand) if own else 0
    is_fixed = bool(own) and own["name"] in committed.fixed_panels()
    if peers or is_fixed:
        line = f"panel {own['name']}, as before: {peers} entries that come with Keystone stand there.{_OTHERS}"
        return [f"panel={own['name']}"] if is_fixed else list(source.panel_words), line if peers else ""
    found = [_table(entries, world) for entries in tables(stand)]
    fitting = sorted((table for table in found if not _contradicts(table, typed)), key=lambda table: table.rank)
    if not fitting or fitting[0].needs_data:
        return list(source.panel_words), ""
    table = fitting[0]
    start = _start(table, given, world)
    why = f"{table.size} entries that come with Keystone stand there{table.said}."
    otherwise = f"{_OTHERS[:-1]}, panel= with nothing its own." if source.panel_words else _OTHERS
    return [f"{key}={value}" for key, value in (table.words | start).items()], f"panel {table.name}: {why}{otherwise}"


def drawn(name: str) -> dict[str, str] | None:
    """What plays a panel that entries stand on and that was drawn, which is no file: its arguments by key.

    Returns:
        The arguments, `panel=` with nothing among them; None for a fixed panel, and for what no entry stands on.
    """
    found = [entry for entry in committed.entries() if entry["panel"]["name"] == name]
    if not found or name in committed.fixed_panels():
        return None
    world = load(EvalConfig, [f"env={found[0]['env']}"]).env
    return {"env": world.name, "panel": ""} | _table(found, world).words


def is_own(source: Source, config: EvalConfig) -> bool:
    """Whether what is played is meant to be the panel that a source was scored on, if it has the same name.

    Drawn panels are named after split and seed: with another number of tasks, or of other levels, they are others.
    """
    if config.panel:
        return True
    own = load(EvalConfig, [*source.words, *source.panel_words])
    mine, theirs = (
        {name: value for name, value in options_of(each.env).items() if name not in ("data", "max_turns", "split")}
        for each in (own, config)
    )
    return own.tasks == config.tasks and mine == theirs


def changes(options: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """The options that must be set to play under an entry's conditions, with their values there.

    Args:
        options: those that would be played with, or were.
        entry: of the same world.

    Returns:
        Options by name.
    """
    mine = conditions({"env": entry["env"], "options": json.loads(json.dumps(options, default=str))})
    theirs, missing = conditions(entry), object()
    names = [name for name in mine | theirs if mine.get(name, missing) != theirs.get(name, missing)]
    usual = asdict(config_class(entry["env"])())
    return {name: entry["options"].get(name, usual.get(name)) for name in names}


def _table(entries: Sequence[Entry], world: Any) -> _Table:  # noqa: ANN401 - the options class differs between worlds
    """What it takes to play a table's panel, from a world as the source would have it."""
    entry, own = entries[0], options_of(world)
    name = entry["panel"]["name"]
    differing = changes(own, entry)
    if name in committed.fixed_panels():
        rule = read_panel(name)
        words, is_drawn = {"panel": name}, False
        needs_data = "data" in own and "data" not in rule.options and own["data"] == type(world)().data
        differing = {option: value for option, value in differing.items() if option not in rule.options}
    else:
        # Of a study's cells the options are those of training, another split.
        split, _, seed = name.removeprefix(f"{world.name}-").rpartition("-seed")
        words, is_drawn = {"tasks": str(entry["panel"]["tasks"]), "split": split, "seed": seed}, True
        needs_data = entry["options"].get("data") == "PATH"
        if own.get("data", "") != (data := entry["options"].get("data", "")):
            differing["data"] = data
    words |= {f"env.{option}": written(value) for option, value in differing.items()}
    said = ", ".join(f"env.{option}={written(value)}" for option, value in differing.items())
    rank = (needs_data, bool(changes(own, entry)), is_drawn, name)
    return _Table(name, len(entries), words, f", played with {said}" if said else "", needs_data, rank)


def _contradicts(table: _Table, typed: Mapping[str, str]) -> bool:
    """Whether a user has typed what this panel is not played with. Turns make other scores, not other tasks."""
    if "panel" in table.words and typed.keys() & {"tasks", "split", "env.split"}:
        return True
    short = {"data": "env.data", "env.split": "split"}
    known = {short.get(key, key): value for key, value in typed.items() if key != "env.max_turns"}
    return any(key in known and known[key] != value for key, value in table.words.items())


def _start(table: _Table, given: Mapping[str, str], world: Any) -> dict[str, str]:  # noqa: ANN401
    """The policy `warm` belongs to a world's options: where they are set otherwise it is still the source's own."""
    is_warm = given.get("policy") == WARM and presets.read("model", WARM)["model"]["path"] == WARM
    if not is_warm or "policy.path" in given or not any(key.startswith("env.") for key in table.words):
        return {}
    return {"policy.path": locate(WARM, world, "policy")}
