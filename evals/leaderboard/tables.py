"""The ranking as a table: for a terminal, and as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.figures import range_of_percent
from evals.leaderboard.contents import other_content
from evals.leaderboard.entries import Entry, conditions, seeds
from evals.leaderboard.ranking import Ranked, table_key

if TYPE_CHECKING:
    from rich.table import Table

_DASH = "\N{EN DASH}"
# Terminals from this width on show all columns.
_WIDE = 120
_NOTE = (
    "Success in % with its 95 % interval. Place: from one after all that are clearly better to the last before all "
    "that are clearly worse (exact paired test, Holm over all pairs of the table). A range is a tie; ties are not "
    "transitive. Trained: share of the parameters. Update time and peak memory: over those of training everything in "
    "the same run. MB: the delta file, and what a sampler is sent after an update."
)


class Row(NamedTuple):
    """One line of a ranking.

    Attributes:
        ranked: the entry and its place.
        yours: whether it is the user's own.
    """

    ranked: Ranked
    yours: bool


def by_table(rows: Sequence[Row]) -> list[list[Row]]:
    """Cuts ranked rows into tables, in their order."""
    return [list(found) for _, found in groupby(rows, key=lambda row: table_key(row.ranked.entry))]


def title(entry: Entry) -> str:
    """Names a table: world, panel, tasks, hash, and the conditions that are not the world's own."""
    panel, said = entry["panel"], conditions_line(entry)
    return f"{entry['env']}, {panel['name']}: {panel['tasks']} tasks, sha256 {panel['sha256'][:12]}{said}"


def conditions_line(entry: Entry) -> str:
    """Content that is not the pinned one, and conditions that are not the world's own: ", max_turns=30"."""
    content = other_content(entry["panel"])
    others = conditions(entry) | ({"max_turns": turns} if (turns := entry["sampling"].get("max_turns")) else {})
    said = f", content {content[:12]}" if content else ""
    return said + "".join(f", {name}={value}" for name, value in sorted(others.items()))


def terminal(rows: Sequence[Row], width: int) -> Table:
    """One table for a terminal of some width; a narrow one gets the columns that matter most."""
    from rich.table import Table as RichTable
    from rich.text import Text

    chosen = {name: column for name, column in _COLUMNS.items() if column.matters or width >= _WIDE}
    table = RichTable(
        title=title(rows[0].ranked.entry), title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="bold"
    )
    for name, column in chosen.items():
        heading = name.replace(" ", "\n", 1)
        table.add_column(heading, justify="left" if column.words else "right", no_wrap=not column.words)
    for row in rows:
        style = "bold" if row.yours else ""
        table.add_row(*(Text(column.shown(row).replace(" to ", _DASH), style=style) for column in chosen.values()))
    return table


def note(rows: Sequence[Row]) -> str:
    """What the columns and marks mean."""
    return f"{_NOTE}{' *: yours.' if any(row.yours for row in rows) else ''}"


def cells(row: Row) -> list[str]:
    """A row as people read it, in the order of `columns()`."""
    return [column.shown(row) for column in _COLUMNS.values()]


def columns() -> list[str]:
    """Titles of the columns that people read."""
    return list(_COLUMNS)


def as_markdown(rows: Sequence[Row]) -> str:
    """All tables as Markdown."""
    parts = []
    for table in by_table(rows):
        parts.append(f"**{_escaped(title(table[0].ranked.entry))}**\n")
        marks = ("---" if column.words else "---:" for column in _COLUMNS.values())
        lines = [_line(columns()), _line(marks), *(_line(map(_escaped, cells(row))) for row in table)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, _escaped(note(rows))]) + "\n"


def as_json(rows: Sequence[Row]) -> str:
    """All entries with their places, as a JSON list."""
    content = [
        {
            "place": row.ranked.place,
            "last_place": row.ranked.last,
            "tied": row.ranked.tied,
            "yours": row.yours,
            "entry": row.ranked.entry,
        }
        for row in rows
    ]
    return "[\n" + ",\n".join(json.dumps(each, sort_keys=True) for each in content) + "\n]\n"


def as_csv(rows: Sequence[Row]) -> str:
    """One line an entry, with every figure."""
    file = io.StringIO()
    flat = [_flat(row) for row in rows]
    writer = csv.DictWriter(file, list(flat[0]) if flat else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return file.getvalue()


class _Column(NamedTuple):
    """A column.

    Attributes:
        shown: how a row's cell is written.
        words: whether it holds words.
        matters: whether a narrow terminal shows it.
    """

    shown: Callable[[Row], str]
    words: bool = False
    matters: bool = True


def _place(row: Row) -> str:
    return row.ranked.places


def _name(row: Row) -> str:
    return f"{row.ranked.entry['name']}{' *' if row.yours else ''}"


def _success(row: Row) -> str:
    score = row.ranked.entry["score"]
    return f"{100 * score['success']:.1f} ({range_of_percent(score['interval'])})"


def _decoding(row: Row) -> str:
    sampling = row.ranked.entry["sampling"]
    rounds = seeds(row.ranked.entry)
    temperature = sampling["temperature"]
    said = "-" if temperature is None else f"{temperature:g}"
    return said if rounds == 1 else f"{said}, {rounds} seeds"


def _of_score(name: str, form: str, scale: float = 1.0) -> Callable[[Row], str]:
    def shown(row: Row) -> str:
        value = row.ranked.entry["score"].get(name)
        return "-" if value is None else form.format(value * scale)

    return shown


def _of_training(name: str, form: str, scale: float = 1.0) -> Callable[[Row], str]:
    def shown(row: Row) -> str:
        value = _training(row.ranked.entry).get(name)
        return "-" if value is None else form.format(value * scale)

    return shown


def _training(entry: Entry) -> Mapping[str, Any]:
    """What training took, with the share of the parameters that was trained."""
    known: Mapping[str, Any] = entry["training"] or {}
    trained, total = known.get("trained_parameters"), known.get("total_parameters")
    return {**known, "trained_share": trained / total if trained is not None and total else None}


_COLUMNS: dict[str, _Column] = {
    "place": _Column(_place),
    "policy": _Column(_name, words=True),
    "success": _Column(_success),
    "temperature": _Column(_decoding, matters=False),
    "turns": _Column(_of_score("mean_turns", "{:.1f}"), matters=False),
    "invalid %": _Column(_of_score("invalid_actions", "{:.1f}", 100), matters=False),
    "trained %": _Column(_of_training("trained_share", "{:.1f}", 100)),
    "update time": _Column(_of_training("update_ratio", "{:.2f}")),
    "peak memory": _Column(_of_training("peak_ratio", "{:.2f}")),
    "delta MB": _Column(_of_training("delta_bytes", "{:.2f}", 1e-6)),
    "sync MB": _Column(_of_training("sync_bytes", "{:.2f}", 1e-6)),
}


def _flat(row: Row) -> dict[str, Any]:
    entry = row.ranked.entry
    score, sampling, panel = entry["score"], entry["sampling"], entry["panel"]
    training, hardware = _training(entry), entry["cost"].get("hardware") or {}
    trained = (
        *("trained_share", "trained_parameters", "total_parameters", "iterations", "sampled_tokens", "update_seconds"),
        *("update_ratio", "peak_bytes", "peak_ratio", "optimizer_bytes", "delta_bytes", "sync_bytes"),
    )
    return {
        "place": row.ranked.place,
        "last_place": row.ranked.last,
        "tied": row.ranked.tied,
        "yours": row.yours,
        "name": _inert(entry["name"]),
        **{name: _inert(entry[name]) for name in ("kind", "env", "policy", "layer", "algorithm")},
        "panel": _inert(panel["name"]),
        "panel_sha256": panel["sha256"],
        "panel_content_sha256": panel.get("content_sha256"),
        "tasks": panel["tasks"],
        "conditions": json.dumps(conditions(entry), sort_keys=True),
        "temperature": sampling["temperature"],
        "seeds": " ".join(map(str, sampling["seeds"])),
        "max_turns": sampling["max_turns"],
        "success": score["success"],
        "low": score["interval"][0],
        "high": score["interval"][1],
        **{name: score[name] for name in ("episodes", "mean_turns", "invalid_actions", "mean_tokens")},
        **{name: training.get(name) for name in trained},
        "base_sha256": entry["base_sha256"],
        "delta_sha256": json.dumps(found) if isinstance(found := entry["delta_sha256"], list) else found,
        "seconds": entry["cost"].get("seconds"),
        "date": entry["cost"].get("date"),
        **{name: _inert(str(hardware.get(name) or "")) for name in ("processor", "cores", "threads", "gpu")},
        "command": entry["command"],
    }


def _inert(text: str | None) -> str | None:
    """Keeps spreadsheets from reading a name as a formula."""
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text


def _line(parts: Iterable[str]) -> str:
    return f"| {' | '.join(parts)} |"


def _escaped(text: str) -> str:
    """Keeps a name from being read as Markdown or HTML."""
    for mark in "\\`*_[]|":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
