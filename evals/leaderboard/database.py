"""A user's own entries: one SQLite file, safe under several writers and under a kill at any moment.

Each entry is one row, written in one transaction. The file is in write-ahead mode: readers never wait, a second writer
waits for the first, and what a killed writer left unfinished is rolled back by whoever opens the file next. The
schema's version stands in `PRAGMA user_version`; an older file is brought up to date when it is opened, a newer one is
refused. Entries are stored as JSON text and checked when they are read: nothing in the file is ever executed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from envs.errors import InputError, shortened
from envs.files import parse_json, understood
from evals.leaderboard.entries import Entry, check, key_of

DEFAULT = "leaderboard.sqlite"
# "KSTL" as a number: tells a leaderboard from other SQLite files.
APPLICATION = 0x4B53544C
# How long a writer waits for another one.
PATIENCE_SECONDS = 30.0

# What brings a file from each version to the next.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    ("CREATE TABLE entries (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, content TEXT NOT NULL)",),
    (
        "ALTER TABLE entries ADD COLUMN added TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE entries ADD COLUMN episodes TEXT NOT NULL DEFAULT ''",
    ),
)
VERSION = len(MIGRATIONS)


class Stored(NamedTuple):
    """An entry of the database.

    Attributes:
        entry: the entry.
        added: when, UTC; empty if an older Keystone wrote it.
        episodes: the file with its episodes turn by turn, or None.
    """

    entry: Entry
    added: str
    episodes: Path | None


class Database:
    """An open leaderboard file. Use it as a context manager.

    Args:
        path: the file; it is made if it is not there.
        patience: seconds to wait for another writer.
        copied: whether to work on a copy in memory: of a file that may be read, not written.

    Raises:
        InputError: the file cannot be used: no database, damaged, of another program, or written by a newer Keystone.
    """

    def __init__(self, path: Path, patience: float = PATIENCE_SECONDS, *, copied: bool = False) -> None:
        self.path = path
        with self._plainly():
            where = ":memory:" if copied else path
            self._connection = sqlite3.connect(where, timeout=patience, isolation_level=None)
            try:
                if copied:
                    _copy(path, self._connection, patience)
                self._prepare(patience)
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, entry: Entry, episodes: Path | None = None, before: Entry | None = None) -> bool:
        """Writes an entry, in the place of an equal one if there is one.

        Args:
            entry: the entry.
            episodes: the file with its episodes, or None.
            before: one of the file's whose place it takes too, which has another name.

        Returns:
            Whether it took the place of another.

        Raises:
            InputError: it is no entry, or the file cannot be written.
        """
        content = json.dumps(check(dict(entry), "the new entry"), allow_nan=False, sort_keys=True)
        added = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        key, file = key_of(entry), "" if episodes is None else self._beside(episodes)
        same = {key, *([] if before is None else [key_of(before)])}
        with self._plainly(), self._transaction() as cursor:
            rows = cursor.execute("SELECT number, key, content FROM entries ORDER BY number").fetchall()
            # By what the rows hold: a key that was made before a panel was pinned is another than today's.
            known = [number for number, then, found in rows if then in same or _key(found) in same]
            cursor.executemany("DELETE FROM entries WHERE number = ?", [(number,) for number in known])
            cursor.execute(
                "INSERT INTO entries (number, key, content, added, episodes) VALUES (?, ?, ?, ?, ?)",
                (known[0] if known else None, key, content, added, file),
            )
        return bool(known)

    def entries(self) -> list[Stored]:
        """All entries, in the order in which they were first added.

        Raises:
            InputError: the file is damaged, or a row of it holds no entry.
        """
        with self._plainly():
            rows = self._connection.execute(
                "SELECT number, content, added, episodes FROM entries ORDER BY number"
            ).fetchall()
        return [self._stored(*row) for row in rows]

    def problems(self) -> list[str]:
        """What SQLite's own integrity check finds; empty if all is well."""
        with self._plainly():
            found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def _stored(self, number: int, content: object, added: object, episodes: object) -> Stored:
        where = f"db={self.path}, row {number}"
        if not (isinstance(content, str) and isinstance(added, str) and isinstance(episodes, str)):
            raise InputError(f"{where} holds something else than texts: it was changed by another program.")
        try:
            found = parse_json(content, "it")
        except InputError as error:
            raise InputError(f"{where} was changed by another program: {error}") from None
        with understood(where, "an entry"):
            # Files of an older Keystone, and those elsewhere, have a full path, which joining leaves as it is.
            return Stored(check(found, where), added, self.path.resolve().parent / episodes if episodes else None)

    def _beside(self, episodes: Path) -> str:
        """A path from the database's folder, with which it may be moved; a full one for what lies elsewhere."""
        file, folder = episodes.resolve(), self.path.resolve().parent
        return str(file.relative_to(folder) if file.is_relative_to(folder) else file)

    def _prepare(self, patience: float) -> None:
        """Checks whose file it is, and makes its tables or brings them up to date."""
        self._check_owner()
        self._write_ahead(patience)
        # Every transaction is on the disk when it is said to be done.
        self._connection.execute("PRAGMA synchronous = FULL")
        if self._pragma("user_version") < VERSION:
            with self._transaction() as cursor:
                # Another process may have done it in the meantime.
                for statements in MIGRATIONS[self._pragma("user_version") :]:
                    for statement in statements:
                        cursor.execute(statement)
                cursor.execute(f"PRAGMA user_version = {VERSION}")
                cursor.execute(f"PRAGMA application_id = {APPLICATION}")

    def _check_owner(self) -> None:
        # One transaction, as another process may be making the file.
        self._connection.execute("BEGIN")
        version, owner = self._pragma("user_version"), self._pragma("application_id")
        schema = _schema(self._connection)
        self._connection.execute("COMMIT")
        if owner != APPLICATION and (owner or schema):
            raise InputError(f"db={self.path} is the database of another program. Choose another db=.")
        if version > VERSION:
            raise InputError(
                f"db={self.path} was written by a newer Keystone (schema {version}, this one knows {VERSION}). "
                "Update Keystone, or choose another db=."
            )
        # A view or a trigger in the place of our table would be a program that runs while the file is read.
        if version < 0 or schema != _schema_of(version):
            raise InputError(f"db={self.path} is damaged, or was changed by another program. Choose another db=.")

    def _write_ahead(self, patience: float) -> None:
        """Switches write-ahead mode on. Here SQLite itself does not wait where two processes make the file."""
        end = time.monotonic() + patience
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(0.02)

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        """All or nothing; a writer that must wait does so here, before it has read anything."""
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
            cursor.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Says what SQLite refuses in one line."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise InputError(f"db={self.path} {_reason(error)}") from error


def read(path: Path, *, named: bool = False) -> list[Stored]:
    """The entries of a file, which may be absent where the user did not name it.

    Args:
        path: the file.
        named: whether the user named it.

    Raises:
        InputError: it cannot be used, or it was named and is not there.
    """
    if not path.exists():
        if named:
            raise InputError(f"db={path}: no such file. python -m evals.leaderboard add makes one.")
        return []
    with Database(path, copied=not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))) as database:
        return database.entries()


def _copy(path: Path, to: sqlite3.Connection, patience: float) -> None:
    """Copies a file that cannot be written, nor its folder, where SQLite would keep its own files beside it."""
    # Where a writer of other rights is at work its files are there to be read; else nobody changes this one.
    has_writer = path.with_name(f"{path.name}-wal").exists()
    way = "mode=ro" if has_writer else "immutable=1"
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{way}", timeout=patience, uri=True)) as source:
        source.backup(to)


def _key(content: object) -> str | None:
    """The key of what a row holds; None if that is no entry, which whoever reads the file is told."""
    try:
        return key_of(check(json.loads(str(content)), "it"))
    except (InputError, ValueError, RecursionError, TypeError, LookupError):
        return None


def _schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """All that a file declares: names, and what made them without its spaces."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    return [(str(name), "".join(str(sql).split())) for name, sql in rows]


def _schema_of(version: int) -> list[tuple[str, str]]:
    """What a file of a version declares."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in chain.from_iterable(MIGRATIONS[:version]):
            connection.execute(statement)
        return _schema(connection)


def _reason(error: Exception) -> str:
    said = shortened(" ".join(str(error).split()), 200)
    if isinstance(error, UnicodeDecodeError):
        said = "a text in it cannot be decoded"  # SQLite's own message names what is broken, in its bytes
    known: Sequence[tuple[str, str]] = (
        ("locked", f"is being written by another process, which did not end within {PATIENCE_SECONDS:.0f} seconds."),
        ("not a database", "is not a database. Choose another db=."),
        ("malformed", f"is damaged ({said}). Put a copy back, or choose another db=."),
        ("decode", f"is damaged ({said}). Put a copy back, or choose another db=."),
        ("unable to open", "cannot be opened: is there such a folder, and may you write there?"),
        ("readonly", "cannot be written: the file or its folder is read-only."),
        ("full", "cannot be written: the disk is full."),
    )
    return next((words for mark, words in known if mark in said), f"cannot be used ({said}).")
