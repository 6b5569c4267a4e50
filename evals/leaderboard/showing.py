"""The actions that read: show, export, build, serve, check. All but check merge committed entries with the user's."""

from __future__ import annotations

import os
import tempfile
import textwrap
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from envs.config_schema import key
from envs.errors import InputError, unknown
from evals.leaderboard import committed, database, tables
from evals.leaderboard.database import Database
from evals.leaderboard.entries import key_of
from evals.leaderboard.ranking import rank
from evals.leaderboard.tables import Row

_DB = "your leaderboard's file, merged with the entries that come with Keystone"
_PANEL = "the panel to show, by its name; empty shows all"
_ENTRIES = "which entries: all, those that come with Keystone, or your own"
Entries = Literal["all", "committed", "own"]


@dataclass(frozen=True)
class ShowConfig:
    """Keys of `evals.leaderboard show`."""

    db: str = key(database.DEFAULT, _DB)
    panel: str = key("", _PANEL)
    entries: Entries = key("all", _ENTRIES)


@dataclass(frozen=True)
class ExportConfig(ShowConfig):
    """Keys of `evals.leaderboard export`."""

    format: Literal["markdown", "csv", "json"] = key("markdown", "how it is written")
    out: str = key("", "the file to write; empty prints")


@dataclass(frozen=True)
class BuildConfig(ShowConfig):
    """Keys of `evals.leaderboard build`."""

    out: str = key("", "the folder to write the pages into; open index.html in it")


@dataclass(frozen=True)
class ServeConfig(ShowConfig):
    """Keys of `evals.leaderboard serve`."""

    port: int = key(8000, "the port on this machine; 0 takes a free one", minimum=0, maximum=65535)


@dataclass(frozen=True)
class CheckConfig:
    """Keys of `evals.leaderboard check`."""

    db: str = key(database.DEFAULT, "your leaderboard's file")


class Board:
    """The merged leaderboard.

    Args:
        config: where the entries are and which are wanted.

    Raises:
        InputError: the database cannot be used, or no entry is on the panel.
    """

    def __init__(self, config: ShowConfig) -> None:
        stored = (
            [] if config.entries == "committed" else database.read(Path(config.db), named=config.db != database.DEFAULT)
        )
        own = [each.entry for each in stored]
        everything = [*own, *(committed.without(own) if config.entries != "own" else [])]
        names = {entry["panel"]["name"] for entry in everything}
        if config.panel and config.panel not in names:
            raise unknown("panel with entries", config.panel, names)
        mine = {key_of(entry) for entry in own}
        wanted = [entry for entry in everything if config.panel in ("", entry["panel"]["name"])]
        self.rows = [Row(ranked, key_of(ranked.entry) in mine) for ranked in rank(wanted)]
        self._episodes = {key_of(each.entry): each.episodes for each in stored}

    def build(self, out: Path) -> Path:
        """Writes the pages; returns the first one.

        Raises:
            InputError: the folder cannot be written.
        """
        from evals import site
        from evals.leaderboard import kept

        entries = [row.ranked.entry for row in self.rows]
        episodes = kept.files() | self._episodes
        files = {str(number): episodes.get(key_of(entry)) for number, entry in enumerate(entries)}
        # Unlike `Path.is_file` it also takes a name that no file can have.
        known = {number: path for number, path in files.items() if path is not None and os.path.isfile(path)}
        try:
            out.mkdir(parents=True, exist_ok=True)
            return site.build(entries, known, out, [number for number, row in enumerate(self.rows) if row.yours])
        except OSError as error:
            raise InputError(f"out={out} cannot be written: {error.strerror}.") from error


def show(config: ShowConfig) -> None:
    """Prints the ranking."""
    from envs.screen import Screen

    screen, board = Screen(None), Board(config)
    if not board.rows:
        screen.print("no entries yet. python -m evals.leaderboard add RUN adds one.")
        return
    for table in tables.by_table(board.rows):
        screen.print(tables.terminal(table, screen.console.width))
        screen.print()
    screen.print(textwrap.fill(tables.note(board.rows), min(screen.console.width, 100)))


def export(config: ExportConfig) -> None:
    """Writes the ranking as Markdown, CSV or JSON."""
    board = Board(config)
    made = {"markdown": tables.as_markdown, "csv": tables.as_csv, "json": tables.as_json}[config.format](board.rows)
    if not config.out:
        print(made, end="")
        return
    try:
        Path(config.out).write_text(made, encoding="utf-8")
    except OSError as error:
        raise InputError(f"out={config.out} cannot be written: {error.strerror}.") from error
    print(f"{config.out}: {len(board.rows)} entries")


def build(config: BuildConfig) -> None:
    """Writes the pages into a folder."""
    if not config.out:
        raise InputError("out= is needed: the folder to write the pages into, such as out=site.")
    if Path(config.out).exists() and not Path(config.out).is_dir():
        raise InputError(f"out={config.out} is a file; a folder is needed.")
    page = Path(config.out) / "index.html"
    if page.is_file() and b"Made by Keystone" not in page.read_bytes():
        raise InputError(f"{page} is a page of something else, which would be lost. Choose another out=.")
    print(Board(config).build(Path(config.out)))


def serve(config: ServeConfig) -> None:
    """Shows the pages on this machine until Ctrl-C."""
    board = Board(config)
    with tempfile.TemporaryDirectory(prefix="keystone-leaderboard-") as folder:
        first = board.build(Path(folder))
        try:
            server = ThreadingHTTPServer(("127.0.0.1", config.port), partial(_Handler, directory=str(first.parent)))
        except OSError as error:
            raise InputError(
                f"port={config.port} cannot be used ({error.strerror}). port=0 takes a free one."
            ) from None
        try:
            with server:
                print(f"http://127.0.0.1:{server.server_address[1]}/ (Ctrl-C ends)", flush=True)
                server.serve_forever()
        except KeyboardInterrupt:
            print("ended.")


def check(config: CheckConfig) -> int:
    """Runs SQLite's integrity check, and reads every entry."""
    path = Path(config.db)
    if not path.exists():
        raise InputError(f"db={path}: no such file. python -m evals.leaderboard add makes one.")
    with Database(path) as opened:
        found = opened.problems()
        for line in found:
            print(line)
        if found:
            return 1
        print(f"{path}: whole, schema {database.VERSION}, {len(opened.entries())} entries")
    return 0


class _Handler(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401
        """Says nothing."""
