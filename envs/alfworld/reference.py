"""The stock engine behind the same face as the native `World`, for comparisons and for games the rules do not cover.

It is TextWorld's PDDL environment with ALFWorld's naming (`AlfredDemangler`), as the alfworld package runs it; both
packages are imported only here and only when a game is opened. Left out: the package's experts, batching and THOR.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def _open_environment() -> Any:  # noqa: ANN401 - a class of the stock engine
    try:
        import textworld
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
        from textworld.envs.pddl import PddlEnv
    except ImportError as error:
        raise MissingExtraError(
            f'engine=reference needs the stock ALFWorld engine ({error}). Install it: pip install -e ".[alfworld]"'
        ) from error
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
