"""Plays episodes in a fresh Python process, with another seed of Python's hashes, and returns what was said there.

The process is told in a file what to play and answers in one, as worlds may print what they like.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from envs.contract.subject import ContractError
from envs.installation import python_path
from envs.registry import make
from envs.types import Info

_SECONDS = 300


class Request(NamedTuple):
    """What to play.

    Attributes:
        target: the environment's class, "module:Class"; names registered here are not known there.
        options: its options.
        seed: of the tasks to draw.
        num_tasks: how many to draw.
        commands: by task, the commands to give.
    """

    target: str
    options: dict[str, Any]
    seed: int
    num_tasks: int
    commands: Mapping[str, list[str]]


class Played(NamedTuple):
    """What was seen.

    Attributes:
        tasks: those drawn.
        starts: by task, what `reset` returned.
        said: by task, what `step` returned for each command.
    """

    tasks: list[str]
    starts: dict[str, tuple[str, Info]]
    said: dict[str, list[tuple[str, float, bool, bool, Info]]]


def play_elsewhere(request: Request) -> Played:
    """Plays in a second process.

    Raises:
        ContractError: the world cannot be played there, or not within 300 seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "asked"), Path(folder, "answered")
        asked.write_bytes(pickle.dumps(request))
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", f"import {__name__} as it; it.answer()", str(asked), str(answered)],
                env=_variables(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ContractError(f"broken rule: a second process plays it too, within {_SECONDS} seconds") from None
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise ContractError(f"broken rule: a second process plays it too ({lines[-1] if lines else 'no word'})")
        played: Played = pickle.loads(answered.read_bytes())
    return played


def answer() -> None:
    """Does what the second process is for: plays what the file named first asks, and answers in the second file."""
    asked, answered = map(Path, sys.argv[1:])
    answered.write_bytes(pickle.dumps(play_here(pickle.loads(asked.read_bytes()))))


def play_here(request: Request) -> Played:
    """Plays in this process."""
    starts, said = {}, {}
    with closing(make(request.target, **request.options)) as env:
        tasks = env.sample_tasks(request.seed, request.num_tasks)
        for task, commands in request.commands.items():
            starts[task] = env.reset(options={"task": task})
            said[task] = [env.step(command) for command in commands]
    return Played(tasks, starts, said)


def _variables() -> dict[str, str]:
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    return {**os.environ, "PYTHONPATH": python_path(), "PYTHONHASHSEED": other}
