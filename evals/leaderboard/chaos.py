"""`python -m evals.leaderboard.chaos kills=100`: kills `add` at random moments and looks at what is left.

Each round a process adds a new entry, as `python -m evals.leaderboard add` does, and is killed with SIGKILL. The
moments take turns: anywhere in the whole, between the end of its evaluation and its own end, and within milliseconds
after it has opened the database to write. Then the database must be whole (SQLite's own check), hold every entry that
was there before, unchanged, and the new one whole or not at all; and the same command, given again, must enter it.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from envs.command import run_command
from envs.config_schema import key
from envs.errors import KeystoneError
from evals.leaderboard.database import Database
from evals.leaderboard.entries import check, key_of

TASKS = 8
PATIENCE_SECONDS = 300.0
"""How long an addition may take before it counts as a hang; it takes about a second."""
# The seed of the addition that is only timed.
_UNDISTURBED = 10**6
# About as long as opening the database, writing and closing it take.
_MOMENT_SECONDS = 0.02


@dataclass(frozen=True)
class ChaosConfig:
    """Keys of `evals.leaderboard.chaos`."""

    kills: int = key(100, "how many processes are killed", minimum=1)
    seed: int = key(0, "keys the moments", minimum=0)


class Lasts(NamedTuple):
    """Seconds of an addition.

    Attributes:
        whole: from its start to its end.
        writing: from the end of its evaluation to its end.
    """

    whole: float
    writing: float


class DamageError(KeystoneError):
    """A kill left something behind that it must not."""


def main(config: ChaosConfig) -> int:
    """Runs the command."""
    with tempfile.TemporaryDirectory(prefix="keystone-chaos-") as folder:
        path = Path(folder) / "leaderboard.sqlite"
        lasts = measure(path)
        print(
            f"an addition takes {lasts.whole:.2f} seconds, {lasts.writing:.2f} of them after its evaluation", flush=True
        )
        draws, outcomes, rounds = random.Random(config.seed), Counter[str](), 0
        # A process that ended before its moment came was not killed, and another one is.
        while outcomes.total() < config.kills:
            if when := kill_one(path, rounds, lasts, draws):
                outcomes[when] += 1
            rounds += 1
        print(", ".join(f"{count} killed {when}" for when, count in sorted(outcomes.items())))
        found = len(contents(path))
        if found != rounds + 1:
            raise DamageError(f"{found} entries are there, {rounds + 1} were added.")
        print(f"all {found} entries are there and whole; the database is whole")
    return 0


def kill_one(path: Path, number: int, lasts: Lasts, draws: random.Random) -> str | None:
    """Adds an entry, kills the process, looks at the database, and adds the entry again.

    Args:
        path: the database.
        number: of the entry, new to the database.
        lasts: seconds that an addition takes.
        draws: gives the moment.

    Returns:
        When the kill came: before the entry was written, or after; None if the process had ended by then.

    Raises:
        DamageError: the database is damaged, lost an entry, or holds half of one.
    """
    before = contents(path)
    process = start(path, number)
    if number % 3:
        _wait_for_score(path, process, len(before))
    if number % 3 == 2:
        # Whoever closes the file last removes this one.
        _wait_for(path.with_name(f"{path.name}-wal"), process)
    time.sleep(draws.uniform(0, (lasts.whole, lasts.writing, _MOMENT_SECONDS)[number % 3]))
    process.kill()
    _end(process, f"killed addition of entry {number}")
    after = contents(path)
    if any(after.get(name) != entry for name, entry in before.items()) or len(after) > len(before) + 1:
        raise DamageError(f"kill {number}: entries were lost or changed.")
    again = start(path, number)
    _end(again, f"addition of entry {number}")
    if again.exitcode != 0 or len(contents(path)) != len(before) + 1:
        raise DamageError(f"kill {number}: the command could not be given again (exit code {again.exitcode}).")
    if process.exitcode != -signal.SIGKILL:
        return None
    return f"{'after' if len(after) > len(before) else 'before'} the entry was written"


def contents(path: Path) -> dict[str, str]:
    """Every entry of the database, by its key.

    Raises:
        DamageError: the database is damaged, or holds what is no entry.
    """
    try:
        with Database(path) as opened:
            problems, entries = opened.problems(), [stored.entry for stored in opened.entries()]
    except KeystoneError as error:
        raise DamageError(str(error)) from error
    if problems:
        raise DamageError("; ".join(problems))
    return {key_of(check(entry, "an entry")): json.dumps(entry, sort_keys=True) for entry in entries}


def start(path: Path, number: int) -> multiprocessing.process.BaseProcess:
    """Begins to add an entry in a process that is a copy of this one: nothing is imported again."""
    process = multiprocessing.get_context("fork").Process(target=_add, args=(path, number))
    process.start()
    return process


def _add(path: Path, number: int) -> None:
    from envs.command import run_actions
    from evals.leaderboard.__main__ import ACTIONS, PROGRAM

    words = ["env=toy_text", "policy=random", "panel=", f"tasks={TASKS}", f"seed={number}", f"name=entry {number}"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = run_actions(PROGRAM, ACTIONS, description="", argv=["add", *words, f"db={path}"])
    os._exit(code)


def measure(path: Path) -> Lasts:
    """Adds an entry undisturbed and times it."""
    # So that the copies of this process need not import them.
    from evals import evaluation, score_tables  # noqa: F401
    from evals.leaderboard import __main__  # noqa: F401

    started = time.monotonic()
    process = start(path, _UNDISTURBED)
    _wait_for_score(path, process, 0)
    scored = time.monotonic()
    _end(process, "addition that nobody disturbed")
    if process.exitcode != 0:
        raise DamageError(f"an addition that nobody disturbed ended with exit code {process.exitcode}.")
    ended = time.monotonic()
    return Lasts(ended - started, ended - scored)


def _wait_for_score(path: Path, process: multiprocessing.process.BaseProcess, known: int) -> None:
    """Waits until the evaluation under way is done: what comes next is the writing."""
    folder, until = path.with_suffix(".episodes"), time.monotonic() + PATIENCE_SECONDS
    while process.exitcode is None and time.monotonic() < until:
        done = sum('"finished": true' in file.read_text(encoding="utf-8") for file in folder.glob("*/score.json"))
        if done > known:
            return
        time.sleep(0.001)


def _wait_for(file: Path, process: multiprocessing.process.BaseProcess) -> None:
    """Waits until a file is there."""
    until = time.monotonic() + PATIENCE_SECONDS
    while process.exitcode is None and not file.exists() and time.monotonic() < until:
        pass


def _end(process: multiprocessing.process.BaseProcess, name: str) -> None:
    """Waits until a process has ended.

    Raises:
        DamageError: it has not within `PATIENCE_SECONDS`; it is killed.
    """
    process.join(PATIENCE_SECONDS)
    if process.exitcode is None:
        process.kill()
        raise DamageError(f"the {name} hangs: it has not ended within {PATIENCE_SECONDS:g} s.")


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m evals.leaderboard.chaos",
            ChaosConfig,
            main,
            description="Kills additions at random moments and checks that the database stays whole.",
        )
    )
