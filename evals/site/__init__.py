"""The leaderboard as one page: the ranking of every panel as a table, without scripts and without network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from evals.leaderboard import tables
from evals.leaderboard.entries import Entry
from evals.leaderboard.ranking import rank

_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;"
    "padding:0 1rem}div{overflow-x:auto}table{border-collapse:collapse;white-space:nowrap}"
    "caption{text-align:left;font-weight:bold;padding:1rem 0 .25rem}"
    "th,td{padding:.25rem .75rem;text-align:right;border-bottom:1px solid}"
    "th:nth-child(2),td:nth-child(2){text-align:left}"
)


def build(entries: Sequence[Entry], episodes: Mapping[str, Path], out: Path) -> Path:
    """Writes the page.

    Args:
        entries: of any panels.
        episodes: files of episodes by position of the entry; not shown yet.
        out: an existing folder.

    Returns:
        `out/index.html`.
    """
    del episodes
    rows = [tables.Row(ranked, False) for ranked in rank(entries)]
    parts = [_table(table) for table in tables.by_table(rows)]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Leaderboard</title><style>{_STYLE}</style><main><h1>Leaderboard</h1>{''.join(parts)}"
        f"<p>{escape(tables.note(rows))}</p></main></html>\n"
    )
    path = out / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _table(rows: Sequence[tables.Row]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in tables.columns())
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in tables.cells(row)) + "</tr>" for row in rows)
    caption = escape(tables.title(rows[0].ranked.entry))
    return f"<div><table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
