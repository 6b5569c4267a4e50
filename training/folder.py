"""The run folder: fixed file names, the only interface between training, evaluation, reports and people.

A folder belongs to one run: another run is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from envs.errors import InputError
from evals.folder import Folder
from training.processes import current

CONFIG, METRICS, EPISODES, LAYERS = "config.yaml", "metrics.jsonl", "episodes.jsonl", "layers.json"
DELTA, SUMMARY, REPORT, LOG, STATE = "delta.safetensors", "summary.json", "report.html", "log.txt", "state.json"


class RunFolder(Folder):
    """One run's folder. Of several processes that train together one writes, and what a JSON file holds it tells all.

    Args:
        path: where it is.
    """

    def read_json(self, name: str) -> Any:  # noqa: ANN401
        """Reads a JSON file; None if it is not there. Called by all processes."""
        return current().first(lambda: super(RunFolder, self).read_json(name))

    def write_text(self, name: str, content: str) -> None:
        """Writes a whole text file."""
        if current().main:
            super().write_text(name, content)

    def append(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Appends rows to a line file."""
        if current().main:
            super().append(name, rows)

    def keep(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrites a line file with the wanted rows only."""
        if current().main:
            super().keep(name, wanted)

    @staticmethod
    def check(path: Path) -> None:
        """Makes sure that a new run may have this folder. Writes nothing.

        Raises:
            InputError: the folder holds another run or something else, or cannot be made where it should be.
        """
        above = next(one for one in (path, *path.parents) if one.exists())
        if not above.is_dir():
            raise InputError(f"out={path}: {above} is a file; a folder is needed.")
        if not os.access(above, os.W_OK | os.X_OK):
            raise InputError(f"out={path} cannot be written: {above} is read-only, or not yours.")
        if path.is_dir() and any(path.iterdir()):
            what = "another run" if (path / CONFIG).exists() else "other files"
            go_on = f", or resume={path} to go on with it" if what == "another run" else ""
            raise InputError(f"out={path} already holds {what}. Choose an empty or new folder{go_on}.")

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Makes a new run folder.

        Raises:
            InputError: the folder holds another run, something else, or cannot be written.
        """
        cls.check(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / LOG).touch()
        except OSError as error:
            raise InputError(f"out={path} cannot be written: {error.strerror}.") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Opens the folder of an earlier run.

        Raises:
            InputError: there is no run in it.
        """
        if not (path / CONFIG).is_file():
            raise InputError(f"resume={path}: no run there (it has no {CONFIG}).")
        return cls(path)
