"""Weights & Biases (`trackers=wandb`), offline: under `RUN/wandb/`, until `wandb sync` is asked to upload it.

`WANDB_MODE=online` uploads as it goes. wandb tells its makers how it is used, even offline; that is off here unless
`WANDB_ERROR_REPORTING=true`. A resumed run goes on under the same id: W&B leaves out figures of a step that it has, and
they are the same, as a resumed run repeats what it did.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping

from training.trackers import Arm

PACKAGE = "wandb"
PROJECT = "keystone"


class Tracker:
    """One arm as one run of a project, grouped by the run folder's name."""

    def __init__(self, arm: Arm) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        folder = arm.folder / "wandb"
        folder.mkdir(exist_ok=True)
        known = folder / f"{arm.name.replace(':', '_')}.id"
        if not known.is_file():
            known.write_text(uuid.uuid4().hex[:16], encoding="utf-8")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(arm.folder),
            id=known.read_text(encoding="utf-8"),
            name=f"{arm.run}-{arm.name}",
            group=arm.run,
            config=dict(arm.config),
            mode="online" if os.environ.get("WANDB_MODE") == "online" else "offline",
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True, disable_code=True
            ),
        )

    def log(self, iteration: int, values: Mapping[str, float]) -> None:
        """Takes an iteration's figures."""
        self._run.log(dict(values), step=iteration)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def start(arm: Arm) -> Tracker:
    """Begins or goes on with a run."""
    return Tracker(arm)
