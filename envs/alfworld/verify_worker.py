"""One walk in both engines, in a process of its own, which is replaced before the stock engine's leaks fill memory."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.reading import read_game
from envs.alfworld.reference import ReferenceWorld, remembering
from envs.alfworld.transcripts import digest, first_difference, play
from envs.alfworld.walks import Walk
from envs.alfworld.world import World
from envs.errors import InputError

if TYPE_CHECKING:
    from envs.alfworld.verify import Job

BATCH = 50
DEADLINE = 900.0
"""Seconds that one walk may take."""

_WORDINGS = (
    ("You arrive at {r.name}.", "You arrive at {lend.name}."),
    ("You move the {o.name} to the {r.name}.", "You put the {o.name} in/on the {r.name}."),
    ('template :: "move {o} to {r}"', 'template :: "put {o} in/on {r}"'),
)


def work(jobs: Sequence[Job], report: Callable[[dict[str, Any]], None], stop: Event) -> None:
    """Walks some jobs one after another in one worker process and reports each row.

    Args:
        jobs: the jobs.
        report: is given each row.
        stop: once set, nothing further is begun.
    """
    left = list(jobs)
    while left and not stop.is_set():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            while left and not stop.is_set():
                job = left.pop(0)
                try:
                    report(pool.submit(walk, job).result(timeout=DEADLINE))
                except TimeoutError:
                    report(_row(job, difference=f"no answer within {DEADLINE:.0f} s"))
                    for process in list(pool._processes.values()):
                        process.kill()
                    break
                except BrokenProcessPool:
                    report(_row(job, difference="the worker process died"))
                    break


def walk(job: Job) -> dict[str, Any]:
    """Walks one job and returns its row.

    Raises:
        MissingExtraError: the stock engine is not installed.
    """
    with contextlib.ExitStack() as stack:
        path = job.game.path
        if job.format == "2.1.1":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            path = folder / path.name
            path.write_text(json.dumps(older(json.loads(job.game.path.read_text(encoding="utf-8")))), encoding="utf-8")
        try:
            game = read_game(path)
        except InputError as error:
            return _row(job, difference=f"the native engine refuses it: {error}")
        layout = Layout(game.problem, game.dialect)
        solution = game.walkthrough or plan(layout) or ()
        started = time.perf_counter()
        native = play(World(layout), Walk(job.walk, job.game.name, solution))
        native_seconds = time.perf_counter() - started
        if job.against != "engine":
            same = digest(native) == job.against
            difference = None if same else f"its transcript is {digest(native)}, the table says {job.against}"
            return _row(job, len(native) - 1, digest(native), difference, native_seconds=native_seconds)
        if job.remember:
            stack.enter_context(remembering())
        started = time.perf_counter()
        stock = play(ReferenceWorld(path), Walk(job.walk, job.game.name, solution))
        stock_seconds = time.perf_counter() - started
    found = first_difference(stock, native)
    difference = None if found is None else str(found)
    return _row(job, len(stock) - 1, digest(stock), difference, stock_seconds, native_seconds)


def older(data: dict[str, Any]) -> dict[str, Any]:
    """Remakes a game of format 2.1.2 in format 2.1.1.

    Domain and grammar become those of the alfworld package 0.3.5, as their fingerprints in `dialects` show; problem
    and task line stay, and there is no walkthrough.

    Args:
        data: the content of a `game.tw-pddl`.

    Returns:
        The content of the older file.

    Raises:
        InputError: it is not of the published format 2.1.2.
    """
    grammar, domain = data["grammar"], data["pddl_domain"]
    if not all(new in grammar for new, _ in _WORDINGS) or "(:action help" not in domain:
        raise InputError("the game is not of the published format 2.1.2, so it has no older form.")
    for new, old in _WORDINGS:
        grammar = grammar.replace(new, old)
    return {
        "pddl_domain": re.sub(r"\(receptacleType \?r SinkType\)", "", domain[: domain.index("(:action help")]) + ")",
        "grammar": grammar[: grammar.index("action help {")],
        "pddl_problem": data["pddl_problem"],
        "solvable": True,
    }


def _row(
    job: Job,
    commands: int = 0,
    digest: str = "",
    difference: str | None = None,
    stock_seconds: float = 0.0,
    native_seconds: float = 0.0,
) -> dict[str, Any]:
    return {
        "game": job.game.name,
        "task_type": job.game.task_type,
        "walk": job.walk,
        "format": job.format,
        "remember": job.remember,
        "commands": commands,
        "sha256": digest,
        "difference": difference,
        "stock_seconds": round(stock_seconds, 3),
        "native_seconds": round(native_seconds, 5),
    }
