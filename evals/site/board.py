"""Builds the leaderboard's page from entries and their episodes.

The ranking and what each entry says of itself are plain tables, there to be read without the page's script. The script
sorts, filters, compares and unpacks episodes, which it never sees as anything but text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from envs.errors import InputError
from evals.leaderboard.ranking import rank, table_key
from evals.leaderboard.tables import conditions_line
from evals.site import entries as view
from evals.site.comparing import comparisons, plays
from evals.site.packing import Source, pack, packed, read_rows
from evals.site.pages import picture, write_page
from evals.study_chart import chart, numbers

STUDIES = Path(__file__).parents[1] / "results" / "studies"
STYLES = ("page.css", "board.css", "episodes.css")
SCRIPTS = ("page.js", "store.js", "trajectory.js", "episodes.js", "board.js", "views.js")

Entry = Mapping[str, Any]
_NEEDED = ("name", "kind", "env", "options", "panel", "sampling", "score", "outcomes", "training")


class _Panel(NamedTuple):
    """The entries that are ranked together, those of one panel played alike, by their numbers."""

    name: str
    env: str
    tasks: int
    sha256: str
    entries: list[int]


def build(entries: Sequence[Entry], episodes: Mapping[str, Path], out: Path, own: Collection[int]) -> Path:
    """Writes the site; see `evals.site.build`."""
    panels = _panels(entries)
    orders: dict[int, dict[str, None]] = {}
    sources = []
    for number, entry in enumerate(entries):
        path = episodes.get(str(number))
        orders[number] = {}
        rows = _rows(path, entry, orders[number]) if path is not None else ()
        sources.append(Source(_name(entry), rows))
    content = pack(sources)
    variables = {
        "title": "Leaderboard of layer-targeted agents",
        "panels": [_panel(panel, entries, orders, own) for panel in panels],
        "kinds": list(dict.fromkeys(str(entry["kind"]) for entry in entries)),
        "columns": view.COLUMNS,
        "entries": [_details(number, entry, bool(orders[number])) for number, entry in enumerate(entries)],
        "studies": _studies(),
        "data": packed(_data(entries, panels, orders)),
        "episodes": content,
    }
    try:
        return write_page(out / "index.html", "board.html", variables, styles=STYLES, scripts=SCRIPTS)
    except OSError as error:
        raise InputError(f"out={out} cannot be written: {error.strerror}.") from error


def _panels(entries: Sequence[Entry]) -> list[_Panel]:
    found: dict[str, _Panel] = {}
    for number, entry in enumerate(entries):
        missing = [name for name in _NEEDED if name not in entry]
        if missing:
            raise InputError(f"entry {number} of the leaderboard has no {missing[0]!r}.")
        facts = entry["panel"]
        name = f"{facts['name']}{conditions_line(entry)}"
        panel = _Panel(name, str(entry["env"]), facts["tasks"], str(facts["sha256"]), [])
        found.setdefault(table_key(entry), panel).entries.append(number)
    return list(found.values())


def _rows(path: Path, entry: Entry, order: dict[str, None]) -> Iterator[Mapping[str, Any]]:
    """The rows of an entry; notes their tasks in order."""
    temperature = (entry.get("sampling") or {}).get("temperature")
    for row in read_rows(path):
        if row.get("temperature") == temperature:
            order.setdefault(str(row.get("task")))
            yield row


def _name(entry: Entry) -> str:
    return str(entry["name"])


def _panel(
    panel: _Panel, entries: Sequence[Entry], orders: Mapping[int, Iterable[str]], own: Collection[int]
) -> dict[str, Any]:
    """A panel with its ranked rows."""
    numbers = {id(entries[number]): number for number in panel.entries}
    rows = []
    ranked = rank([entries[number] for number in panel.entries])
    order = sorted({(found.place, found.last) for found in ranked})
    for found in ranked:
        entry = found.entry
        rows.append(
            {
                "number": numbers[id(entry)],
                "places": found.places,
                "order": order.index((found.place, found.last)),
                "name": _name(entry),
                "kind": str(entry["kind"]),
                "own": numbers[id(entry)] in own,
                "sampling": view.sampling(entry),
                "words": view.words(entry),
                "cells": [column.cell(entry) for column in view.COLUMNS],
                "episodes": bool(orders[numbers[id(entry)]]),
            }
        )
    return {
        "name": panel.name,
        "env": panel.env,
        "tasks": panel.tasks,
        "sha256": panel.sha256,
        "rows": rows,
        "ties": any(found.tied for found in ranked),
    }


def _details(number: int, entry: Entry, has_episodes: bool) -> dict[str, Any]:
    command = str(entry.get("command") or "")
    return {
        "number": number,
        "name": _name(entry),
        "kind": str(entry["kind"]),
        "panel": str(entry["panel"]["name"]),
        "facts": view.facts(entry),
        "kinds": view.kinds(entry),
        "command": command,
        "command_needs_data": re.search(r"\bPATH\b", command) is not None,
        "episodes": has_episodes,
    }


def _data(
    entries: Sequence[Entry], panels: Sequence[_Panel], orders: Mapping[int, Mapping[str, None]]
) -> dict[str, Any]:
    """What the script needs beside the tables: outcomes and comparisons."""
    pairs: dict[str, str] = {}
    for panel in panels:
        pairs |= comparisons([(number, entries[number]) for number in panel.entries])
    numbers = {number: index for index, panel in enumerate(panels) for number in panel.entries}
    return {
        "entries": [
            {
                "name": _name(entry),
                "panel": numbers[number],
                "facts": view.facts(entry),
                "kinds": view.kinds(entry),
                "outcomes": list(map(int, entry.get("outcomes") or [])),
                "plays": plays(entry),
            }
            for number, entry in enumerate(entries)
        ],
        "panels": [{"name": panel.name, "tasks": _tasks(panel, orders)} for panel in panels],
        "pairs": pairs,
    }


def _tasks(panel: _Panel, orders: Mapping[int, Mapping[str, None]]) -> list[str] | None:
    """The panel's tasks in its order, if an entry's episodes tell them."""
    return next((list(orders[number]) for number in panel.entries if len(orders[number]) == panel.tasks), None)


def _studies() -> list[dict[str, Any]]:
    """The plots of the studies that the repository keeps, and their numbers."""
    plots = []
    for path in sorted(STUDIES.glob("*/study.json")):
        study = json.loads(path.read_text(encoding="utf-8"))
        for panel in study["panels"]:
            title = f"{study['env']}, {study['algorithm']}, {study['model']}, panel {panel}"
            plots.append({"title": title, "picture": picture(chart(study, panel)), "numbers": numbers(study, panel)})
    return plots
