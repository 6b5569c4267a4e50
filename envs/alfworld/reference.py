"""The stock engine behind the same face as the native `World`, for comparisons and for games the rules do not cover.

It is TextWorld's PDDL environment with ALFWorld's naming (`AlfredDemangler`), as the alfworld package runs it; both
packages are imported only here and only when a game is opened. Left out: the package's experts, batching and THOR.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from envs.alfworld.games import cache_folder
from envs.alfworld.tasks import compiled, is_generated
from envs.errors import MissingExtraError


class ReferenceWorld:
    """One game file played by the stock engine; the methods are those of `envs.alfworld.rules.World`."""

    def __init__(self, path: str | Path) -> None:
        """Opens a game.

        Args:
            path: of its `game.tw-pddl`.

        Raises:
            MissingExtraError: if the alfworld package is not installed.
        """
        with _undisturbed():
            self._environment = _open_environment()
            self._environment.load(str(path))
        self._state: Any = None

    def reset(self) -> str:
        """Starts again from the beginning and returns the first text."""
        with _undisturbed():
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


def reference_file(location: str) -> Path:
    """Returns the game file that the stock engine plays for a task; a generated task is written first.

    Args:
        location: as `envs.alfworld.tasks.TaskSource.locate` gives it.

    Raises:
        MissingExtraError: if a file must be written and the alfworld package is not installed.
    """
    if not is_generated(location):
        return Path(location)
    from envs.alfworld.writing import write_game

    return write_game(compiled(location).layout.problem, cache_folder() / "alfworld" / location)


@contextmanager
def remembering() -> Iterator[None]:
    """Lets the stock engine do its slowest pure work once, while engines are compared.

    It translates a problem anew on loading and on every reset, parses a grammar's sentence and a query anew for every
    command on offer, and copies names that nothing changes. What it says stays the same, in about a fifth of the time;
    `verify` can do without (`remember=false`), and a test compares both ways.

    Raises:
        MissingExtraError: if the alfworld package is not installed.
    """
    with _undisturbed():
        try:
            import fast_downward  # type: ignore[import-not-found,unused-ignore]
            from textworld.envs.pddl import textgen
            from textworld.logic import Rule
        except ImportError as error:
            raise _missing(error) from error
    parse = lru_cache(maxsize=4096)(textgen._parse_and_convert)

    def parse_again(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - symbols of the stock engine
        # The engine writes into the symbols it gets.
        return copy.deepcopy(parse(*arguments, **options))

    def copy_context(context: dict[str, Any]) -> dict[str, Any]:
        return context | {"variables": dict(context["variables"]), "mapping": dict(context["mapping"])}

    with (
        mock.patch.object(fast_downward, "pddl2sas", lru_cache(maxsize=2)(fast_downward.pddl2sas)),
        mock.patch.object(textgen, "_parse_and_convert", parse_again),
        mock.patch.object(textgen, "copy_context", copy_context),
        mock.patch.object(Rule, "parse_conjunctive_query", lru_cache(maxsize=4096)(Rule.parse_conjunctive_query)),
    ):
        yield


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f'engine=reference needs the stock ALFWorld engine ({error}). Install it: pip install -e ".[alfworld]"'
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
