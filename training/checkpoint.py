"""Checkpoints of an arm's training at iteration boundaries: masters, moments and counters, without pickle.

Random draws are keyed by iteration, so no generator state belongs to a checkpoint. The tensors and the counters are one
safetensors file with a hash of both, written aside and renamed: a checkpoint is there whole or not at all, and bytes
that have changed since are noticed. Of an arm's checkpoints the last two are kept, so that one can be lost, the one
after the best iterations, and the one that weights may have to go back to (`training.watch`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from agents.deltas import fingerprint
from envs.errors import InputError, StorageError, shortened
from envs.files import parse_json
from training.processes import current

KEPT = 2
"""The last checkpoints that are kept."""
BEST_OVER = 5
"""Iterations whose mean success says how good a checkpoint is."""
_NAME = "iteration-{:05d}.safetensors"
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one arm.

    Attributes:
        folder: where they are.
        say: is told, in a line, of a checkpoint that cannot be used.
    """

    folder: Path
    say: Callable[[str], None] = lambda line: None

    def save(
        self,
        tensors: Mapping[str, torch.Tensor],
        history: list[Any],
        keep: int | None = None,
        **others: Any,  # noqa: ANN401
    ) -> None:
        """Writes the checkpoint after the iterations of a history, and removes those that are no longer kept.

        Those of later iterations go too: they could not be read, or the arm would have gone on from them.

        Args:
            tensors: what `MasterAdamW.export` gave.
            history: what is known of each iteration, its success among it.
            keep: the checkpoint after so many iterations is kept in any case.
            **others: further JSON-able values.

        Raises:
            StorageError: it cannot be written; the earlier ones are there.
        """
        if not current().main:
            return
        counters = {"iterations": len(history), "history": history, "worth": _worth(history), **others}
        save(self.folder / _NAME.format(len(history)), tensors, counters)
        for file in self._files():
            if _iterations(file) > len(history):
                file.unlink()
        files = self._files()
        best = max(reversed(files), key=_worth_of, default=None)
        for file in files[:-KEPT]:
            if file != best and _iterations(file) != keep:
                file.unlink()

    def latest(self, among: Container[int] | None = None) -> tuple[Tensors, dict[str, Any]]:
        """Reads the last checkpoint that is whole; of several processes one reads it for all.

        Args:
            among: numbers of iterations that it may have been written after; any if None.

        Returns:
            Its tensors and values, of which "history" is always there; no tensors and an empty one if there is none.
        """
        tensors: Tensors = {}

        def read() -> dict[str, Any]:
            for file in reversed(self._files()):
                if among is not None and _iterations(file) not in among:
                    continue
                try:
                    found, counters = _read(file)
                except InputError as error:
                    self.say(f"{error} The one before is used, or the arm begins again.")
                    continue
                tensors.update(found)
                return {"history": [], **counters}
            return {"history": []}

        counters = current().first(read)
        return current().tensors(tensors), counters

    def _files(self) -> list[Path]:
        return sorted(file for file in self.folder.glob("iteration-*.safetensors") if re.search(r"-\d+\.", file.name))


def _iterations(file: Path) -> int:
    return int(file.name.split(".")[0].rpartition("-")[2])


def _worth(history: list[Any]) -> float:
    """Mean success of the last iterations' episodes."""
    return fmean(row["success"] for row in history[-BEST_OVER:]) if history else 0.0


def _worth_of(file: Path) -> float:
    try:
        with safe_open(str(file), framework="pt") as content:
            return float(parse_json((content.metadata() or {})["counters"], "its counters")["worth"])
    except (OSError, SafetensorError, LookupError, OverflowError, TypeError, ValueError):
        return -1.0


def save(path: Path, tensors: Mapping[str, torch.Tensor], counters: Mapping[str, Any]) -> None:
    """Writes a checkpoint, if this is the process that writes.

    Args:
        path: the file.
        tensors: what `MasterAdamW.export` gave, or any named tensors.
        counters: JSON-able values.

    Raises:
        StorageError: it cannot be written.
    """
    if not current().main:
        return
    aside, counted = path.with_name(path.name + ".part"), json.dumps(dict(counters), sort_keys=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), str(aside), metadata={"counters": counted, "sha256": _hash(tensors, counted)})
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            aside.unlink()
        raise StorageError(f"cannot write the checkpoint {path}: {error}.") from error


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Reads a checkpoint; of several processes one reads it for all.

    Raises:
        InputError: the file is cut, changed or no checkpoint.
    """
    tensors: Tensors = {}

    def read() -> dict[str, Any]:
        found, counters = _read(path)
        tensors.update(found)
        return counters

    counters = current().first(read)
    return current().tensors(tensors), counters


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is there and can be read; one process looks for all."""

    def look() -> bool:
        try:
            _read(path)
        except InputError:
            return False
        return True

    return current().first(look)


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        counted, written = metadata["counters"], metadata["sha256"]
        if _hash(tensors, counted) != written:
            raise InputError(f"the checkpoint {path} has changed since it was written.")
        counters = parse_json(counted, "its counters")
        if not isinstance(counters, dict):
            raise TypeError("its counters are no mapping")
        return tensors, counters
    except (OSError, SafetensorError, KeyError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the checkpoint {path} cannot be read ({shortened(str(error), 300)}).") from error


def _hash(tensors: Mapping[str, torch.Tensor], counted: str) -> str:
    return hashlib.sha256(f"{fingerprint(tensors)} {counted}".encode()).hexdigest()
