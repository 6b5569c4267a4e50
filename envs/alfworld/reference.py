"""The stock engine behind the same face as the native `World`, for comparisons and for games the rules do not cover.

It is TextWorld's PDDL environment with ALFWorld's naming (`AlfredDemangler`), as the alfworld package runs it; both
packages are imported only here and only when a game is opened. It evaluates expressions out of the file's grammar as
Python, and its planner is a C library, so a hostile file can run code, hang or end the process: see SECURITY.md, and
`check_loads` for files that nobody asked it to play. Left out: the package's experts, batching and THOR.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from envs.alfworld.dialects import TASK_LINE
from envs.alfworld.reading import load_json, read_bytes
from envs.alfworld.tasks import Location, generated_problem
from envs.cache import cache_folder
from envs.errors import InputError, MissingExtraError, shortened
from envs.installation import python_path

MOST_SECONDS = 120
"""How long the stock engine may take over a game that nobody asked it to play."""

_TRIAL = """
import sys
from envs.alfworld.reference import ReferenceWorld
from envs.errors import InputError
try:
    ReferenceWorld(sys.argv[1]).reset()
except InputError as error:
    sys.exit(str(error))
"""


class ReferenceWorld:
    """One game file played by the stock engine; the methods are those of `envs.alfworld.world.World`."""

    def __init__(self, path: str | Path, goal: str | None = None) -> None:
        """Opens a game.

        Args:
            path: of its `game.tw-pddl`.
            goal: the task line to say; None for the game's own.

        Raises:
            MissingExtraError: if the alfworld package is not installed.
            InputError: if the stock engine cannot load the game.
        """
        self._path = str(path)
        with _undisturbed(), _reported(self._path):
            self._environment = _open_environment()
            # Not by its path: it is read here as the native engine reads it, whatever the locale's encoding is.
            self._environment.load(_content(self._path, goal))
        self._state: Any = None

    def reset(self) -> str:
        """Starts again from the beginning and returns the first text.

        Raises:
            InputError: if the stock engine cannot start the game.
        """
        with _undisturbed(), _reported(self._path):
            self._state = self._environment.reset()
        return str(self._state.feedback)

    def step(self, command: str) -> str:
        """Plays one command and returns what the game says."""
        self._state, _, _ = self._environment.step(command)
        return str(self._state.feedback)

    def admissible_commands(self) -> list[str]:
        """Returns the commands that would do or tell something now, sorted."""
        return list(self._state["admissible_commands"])

    @property
    def won(self) -> bool:
        """Whether the goal holds now."""
        return bool(self._state["won"])

    def state_key(self) -> str:
        """Names the true state: all facts that hold."""
        return json.dumps(sorted(str(fact) for fact in self._state["_facts"]))


def reference_file(location: Location) -> Path:
    """Returns the game file that the stock engine plays for a task; a generated task is written first.

    Args:
        location: as `envs.alfworld.tasks.TaskSource.locate` gives it.

    Raises:
        MissingExtraError: if a file must be written and the alfworld package is not installed.
    """
    if not location.generated:
        return Path(location.game)
    from envs.alfworld.writing import write_game

    return write_game(generated_problem(location.game), cache_folder() / "alfworld" / location.game)


def check_loads(path: str, why: str) -> None:
    """Lets the stock engine load a game in a process of its own, so that a file which crashes it does no harm.

    Args:
        path: of the `game.tw-pddl`.
        why: what the native rules do not cover, for the error.

    Raises:
        MissingExtraError: if the alfworld package is not installed.
        InputError: if the game cannot be loaded, or not in `MOST_SECONDS`.
    """
    if importlib.util.find_spec("alfworld") is None or importlib.util.find_spec("textworld") is None:
        raise MissingExtraError(
            f"{why}; only the stock engine plays it, which is not installed: pip install 'keystone-rl[alfworld]'"
        )
    _try(path, os.stat(path).st_mtime_ns, why)


@lru_cache(maxsize=1024)
def _try(path: str, modified: int, why: str) -> None:
    environment = {**os.environ, "PYTHONPATH": python_path()}
    command = [sys.executable, "-c", _TRIAL, path]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{why}, and the stock engine does not load it in {MOST_SECONDS} seconds.") from None
    if done.returncode:
        crash = f"the stock engine crashes over it (exit code {done.returncode})."
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [crash]
        raise InputError(f"{why}, and {shortened(said[-1], 5000)}")


def _content(path: str, goal: str | None) -> dict[str, Any]:
    """Returns the content of a game file, with another task line if one is given."""
    content = load_json(read_bytes(path), path)
    if goal is not None:
        line = f'"Your task is to: {json.dumps(goal)[1:-1]}"'
        content["grammar"] = TASK_LINE.sub(lambda match: line, content["grammar"])
    return content


@contextmanager
def _reported(path: str) -> Iterator[None]:
    """Turns what the stock engine raises over a file into one line for the user.

    Its parsers raise errors of many kinds, and its translator ends the process.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        said = shortened(" ".join(str(error).split()), 200)
        raise InputError(f"the stock engine cannot load {path} ({type(error).__name__}: {said}).") from error


@contextmanager
def remembering() -> Iterator[None]:
    """Lets the stock engine do its slowest pure work once in this process, while engines are compared.

    It translates a problem anew on loading and on every reset, each time twice, parses a grammar's sentence and a query
    anew for every command on offer, and copies names that nothing changes. What it says stays the same, in about an
    eighth of the time; `verify` can do without (`remember=false`), and a test compares both ways.

    Raises:
        MissingExtraError: if the alfworld package is not installed.
    """
    with _undisturbed():
        try:
            import fast_downward
            from textworld.envs.pddl import textgen
            from textworld.logic import Rule
        except ImportError as error:
            raise _missing(error) from error
    translate, parse, parse_query = _memories()

    def translate_again(domain: str, problem: str, verbose: bool = False, optimize: bool = False) -> Any:  # noqa: ANN401
        # The second, optimized translation is for the engine's planner, which is not asked for anything here.
        return translate(domain, problem)

    def parse_again(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - symbols of the stock engine
        # The engine writes into the symbols it gets.
        return copy.deepcopy(parse(*arguments, **options))

    def copy_context(context: dict[str, Any]) -> dict[str, Any]:
        return context | {"variables": dict(context["variables"]), "mapping": dict(context["mapping"])}

    with (
        mock.patch.object(fast_downward, "pddl2sas", translate_again),
        mock.patch.object(textgen, "_parse_and_convert", parse_again),
        mock.patch.object(textgen, "copy_context", copy_context),
        mock.patch.object(Rule, "parse_conjunctive_query", parse_query),
    ):
        yield


@cache
def _memories() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The stock engine's translation, sentences and queries, remembered from game to game."""
    import fast_downward
    from textworld.envs.pddl import textgen
    from textworld.logic import Rule

    remember = lru_cache(maxsize=4096)
    translate = lru_cache(maxsize=2)(fast_downward.pddl2sas)
    return translate, remember(textgen._parse_and_convert), remember(Rule.parse_conjunctive_query)


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f"engine=reference needs the stock ALFWorld engine ({error}). Install it: pip install 'keystone-rl[alfworld]'"
    )


def _open_environment() -> Any:  # noqa: ANN401 - a class of the stock engine
    try:
        import textworld
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
        from textworld.envs.pddl import PddlEnv
    except ImportError as error:
        raise _missing(error) from error
    infos = textworld.EnvInfos(won=True, admissible_commands=True)
    return AlfredDemangler(PddlEnv(infos), shuffle=False)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Undoes what the stock packages change in the process: the command line and `$ALFWORLD_DATA`."""
    arguments, data = sys.argv, os.environ.get("ALFWORLD_DATA")
    try:
        yield
    finally:
        sys.argv = arguments
        if data is None:
            os.environ.pop("ALFWORLD_DATA", None)
        else:
            os.environ["ALFWORLD_DATA"] = data
