"""`python -m envs.alfworld.verify data=PATH games=all`: is the native engine the stock one, to the last byte?

Both engines are led through the same walk (`walks`) of every game, and their texts, admissible commands and wins are
compared after every command. The stock engine leads. Results are lines of `out=`/rows.jsonl as they come, so an
interrupted run goes on where it was; the first difference is printed with what led to it. With `against=table` the
native engine is held against the committed table of the stock engine's transcripts instead, which takes minutes and
needs no stock engine. `table=FILE` writes such a table out of the rows.

Games come in a seeded order that mixes splits and task types evenly, so every beginning is a fair sample.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal, NamedTuple

from envs.alfworld.games import SPLITS, find_games
from envs.alfworld.transcripts import TABLE, game_key, read_table, write_table
from envs.alfworld.walks import LENGTHS
from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError, unknown
from envs.files import check_writable, expanded, parse_json, read_text, writing

ROWS = "rows.jsonl"
ALL = "all"
_ROW = {
    **dict.fromkeys(("game", "walk", "format", "sha256"), str),
    "difference": str | None,
    **dict.fromkeys(("commands", "stock_seconds", "native_seconds"), int | float),
}
"""What is read of a row."""


@dataclass(frozen=True)
class VerifyConfig:
    """Keys of the verification."""

    data: str = key("", "folder of the real games; empty looks at $ALFWORLD_DATA and ~/.cache/alfworld")
    games: str = key(ALL, "how many games, in the seeded order; or all")
    split: str = key(ALL, "which games: train, valid_seen, valid_unseen, or all that are there")
    walk: str = key("mixed", f"the walks of each game, separated by commas: {', '.join(LENGTHS)}; or all")
    against: Literal["engine", "table"] = key("engine", "compare with the stock engine, or with the committed table")
    format: Literal["2.1.2", "2.1.1"] = key("2.1.2", "play the files as they are, or remade in the older format")
    remember: bool = key(True, "let the stock engine keep what it would compute again; false leaves it untouched")
    jobs: int = key(0, "games at a time; 0 is one a core", unit="processes", minimum=0)
    out: str = key("runs/verify", "folder of the results; an interrupted run goes on there")
    table: str = key("", "also write the stock engine's transcript hashes to this file")


class Game(NamedTuple):
    """One game to verify.

    Attributes:
        name: its task name.
        task_type: its kind of task.
        path: of its file.
    """

    name: str
    task_type: str
    path: Path


class Job(NamedTuple):
    """One walk of one game.

    Attributes:
        game: the game.
        walk: the kind of walk.
        against: "engine" or the transcript hash that the native engine must give.
        format: "2.1.2" or "2.1.1".
        remember: see `VerifyConfig`.
    """

    game: Game
    walk: str
    against: str
    format: str
    remember: bool

    @property
    def id(self) -> tuple[str, str, str]:
        """What a finished row is known by."""
        return (self.game.name, self.walk, self.format)


def ordered(data: str, split: str) -> list[Game]:
    """Lists the games in the seeded, stratified order.

    Args:
        data: as for `find_games`.
        split: one split, or "all".

    Returns:
        The games; each split and task type is spread evenly over the list.

    Raises:
        InputError: there are no games, or no such split.
    """
    if split not in (ALL, *SPLITS):
        raise unknown("split", split, (ALL, *SPLITS))
    strata: dict[tuple[str, str], list[Game]] = defaultdict(list)
    for name in SPLITS if split == ALL else (split,):
        for game in _games(data, name, required=split != ALL):
            strata[name, game.task_type].append(game)
    if not strata:
        raise InputError("there are no real games here to verify. Give data=PATH or set ALFWORLD_DATA.")
    placed = []
    for stratum, games in sorted(strata.items()):
        random.Random(f"verify 0 {stratum}").shuffle(games)
        placed += [((number + 0.5) / len(games), stratum, game) for number, game in enumerate(games)]
    return [game for _, _, game in sorted(placed)]


def _games(data: str, split: str, required: bool) -> list[Game]:
    try:
        index = find_games(data, split)
    except InputError:
        # Without the rest of the release one split alone can be verified.
        if required or not expanded(data or os.environ.get("ALFWORLD_DATA", "")).is_dir():
            raise
        index = None
    if index is None:
        return []
    return [Game(name, name.split("/")[-2].partition("-")[0], index.path(name)) for name in index.names]


def jobs_of(config: VerifyConfig) -> list[Job]:
    """Lists what has to be walked, in order.

    Raises:
        InputError: a name or number is not valid, or the table knows nothing of these games.
    """
    walks = list(LENGTHS) if config.walk == ALL else [name.strip() for name in config.walk.split(",")]
    for walk in walks:
        if walk not in LENGTHS:
            raise unknown("walk", walk, (*LENGTHS, ALL))
    games = ordered(config.data, config.split)
    if config.games != ALL:
        if not config.games.isdecimal() or int(config.games) < 1:
            raise InputError(f"games={config.games}: give a number of at least 1, or all.")
        games = games[: int(config.games)]
    if config.against == "engine":
        return [Job(game, walk, "engine", config.format, config.remember) for game in games for walk in walks]
    if config.format != "2.1.2":
        raise InputError("against=table knows the games of format 2.1.2 only; leave format= out.")
    table = read_table(TABLE)
    known = [(game, walk, table.get((game_key(game.name), walk))) for game in games for walk in walks]
    jobs = [Job(game, walk, digest, config.format, False) for game, walk, digest in known if digest is not None]
    if not jobs:
        raise InputError("the table has no line for these games and walks; use against=engine.")
    return jobs


def run(config: VerifyConfig) -> int:
    """Runs the command. Returns 1 if there is a difference."""
    from envs.screen import Screen

    table = Path(config.table).expanduser()
    if config.table:
        check_writable(table, "table")
    jobs = jobs_of(config)
    screen, rows = Screen(), []
    out = Path(config.out).expanduser() / ROWS
    if config.against == "engine":
        wanted = {job.id for job in jobs}
        rows = [row for row in _read(out) if (row["game"], row["walk"], row["format"]) in wanted]
        _begin(out)
    done = {(row["game"], row["walk"], row["format"]) for row in rows}
    waiting = [job for job in jobs if job.id not in done]
    screen.print(f"{len(jobs)} walks, {len(done)} of them done before ({out})" if rows else f"{len(jobs)} walks")
    failed = sum(row["difference"] is not None for row in rows)
    with screen.bar("verifying", len(jobs)) as bar:
        bar.advance(len(done))
        for row in results(waiting, config.jobs or os.cpu_count() or 1):
            rows.append(row)
            if config.against == "engine":
                with writing(out), out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            if row["difference"] is not None:
                failed += 1
                screen.print(f"{row['game']}, walk {row['walk']}: {row['difference']}")
            bar.advance(1, f"{failed} differ")
    for line in report(rows):
        screen.print(line)
    if config.table:
        by_id = {(row["game"], row["walk"], row["format"]): row for row in rows if row["difference"] is None}
        found = (by_id[job.id] for job in jobs if job.id in by_id)
        with writing(table):
            count = write_table(table, ((row["game"], row["walk"], row["sha256"]) for row in found))
        screen.print(f"{table}: {count} lines")
    return 1 if failed else 0


def results(jobs: Sequence[Job], processes: int) -> Iterator[dict[str, Any]]:
    """Walks all jobs in worker processes and yields their rows as they come.

    A worker is replaced after `BATCH` walks, as the stock engine leaks memory; one that dies or hangs is replaced too,
    and its walk counts as different.
    """
    from envs.alfworld.verify_worker import BATCH, work

    stop = Event()
    batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
    if len(batches) < processes:
        batches = [part for part in (jobs[start::processes] for start in range(processes)) if part]
    with ThreadPoolExecutor(processes) as threads:
        rows: list[dict[str, Any]] = []
        futures = {threads.submit(work, batch, rows.append, stop) for batch in batches}
        try:
            given = 0
            while futures:
                finished = {future for future in futures if future.done()}
                futures -= finished
                for future in finished:
                    future.result(0)
                while given < len(rows):
                    yield rows[given]
                    given += 1
                time.sleep(0.05)
            yield from rows[given:]
        finally:
            stop.set()


def report(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What was verified, in lines."""
    commands = sum(row["commands"] for row in rows)
    differing = sum(row["difference"] is not None for row in rows)
    walks = Counter(row["walk"] for row in rows)
    lines = [
        f"{len({row['game'] for row in rows}):,} games, {len(rows):,} walks "
        f"({', '.join(f'{name} {count:,}' for name, count in walks.items())}), {commands:,} commands: "
        f"{differing} walks differ"
    ]
    stock, native = (sum(row[f"{name}_seconds"] for row in rows) for name in ("stock", "native"))
    if stock:
        lines.append(f"time: stock engine {stock:,.0f} s, native engine {native:,.1f} s")
    return lines


def _read(path: Path) -> list[dict[str, Any]]:
    """Reads finished rows; a line cut by a kill, or what else is no row, is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in read_text(path, "file of rows").splitlines():
        with suppress(InputError):
            rows.append(parse_json(line, "a row"))
    return [row for row in rows if isinstance(row, dict) and _is_row(row)]


def _is_row(row: dict[str, Any]) -> bool:
    return all(name in row and isinstance(row[name], kind) for name, kind in _ROW.items())


def _begin(path: Path) -> None:
    """Makes the file of rows; where a kill cut its last line, that line is ended, so that the next row stands alone."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    file.write(b"\n")


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m envs.alfworld.verify",
            VerifyConfig,
            run,
            description="Plays both ALFWorld engines side by side and compares every byte.",
        )
    )
