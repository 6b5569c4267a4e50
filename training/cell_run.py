"""What the cells of a search and of a study share: a configuration and a folder of their own, one thread, one row.

A cell's row stays in its folder until whoever asked for it has written it down and removes the folder: a cell that is
begun again after that was missed is not computed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from envs.errors import ExhaustedError, InputError
from training.config import RunConfig
from training.folder import RunFolder

if TYPE_CHECKING:
    from training.running import Run

ROW = "row.json"
Config = TypeVar("Config", bound=RunConfig)


def own_config(config: Config, layer: str, seed: int, rate: float) -> Config:
    """The configuration of one cell: that of all, with its own target, seed and learning rate (0 for what all have)."""
    train = replace(config.train, learning_rate=rate, full_learning_rate=rate) if rate else config.train
    # What goes wrong in training shall score badly, not end everything.
    return replace(config, layer=layer, compare="none", seed=seed, train=train, watch=replace(config.watch, limit=0))


@contextmanager
def opened(config: RunConfig, folder: RunFolder, panel_seed: int | None = None) -> Iterator[Run]:
    """A cell's run, on one thread.

    Args:
        config: the cell's own.
        folder: likewise.
        panel_seed: draws the panel, if another seed than the cell's shall.

    Raises:
        ExhaustedError: the machine lacks something.
        KeyboardInterrupt: a person asked for a stop.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from agents.models import quiet

    quiet()
    from evals.stopping import StoppedError
    from training.prepare import check, load_model, open_run

    torch.set_num_threads(1)
    inputs = check(config, panel_seed)
    run = open_run(inputs, load_model(inputs), folder, echo=False)
    try:
        with run.pool, run.stop.listening():
            yield run
    except StoppedError:
        if run.stop.reason:
            raise ExhaustedError(f"stopped: {run.stop.reason}. The same command goes on.") from None
        raise KeyboardInterrupt from None


def kept_row(folder: RunFolder) -> dict[str, Any] | None:
    """The row of a cell that was computed and not fetched; None if there is none, or if it is broken."""
    row = None
    with suppress(InputError):
        row = folder.read_json(ROW)
    return row if isinstance(row, dict) else None
