"""trackio (`trackers=trackio`): a database on this machine, where `trackio show --project keystone` finds it.

That is `TRACKIO_DIR`, by default in the cache of Hugging Face. It goes to a Space or a server only if trackio's own
settings name one. A resumed run leaves out the iterations that are there: it repeats what it did.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping

from training.trackers import Arm

PACKAGE = "trackio"
PROJECT = "keystone"


class Tracker:
    """One arm as one run of a project, grouped by the run folder's name."""

    def __init__(self, arm: Arm) -> None:
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        name = f"{arm.run}-{arm.name}"
        # It prints where it writes, which would come between the lines of the run.
        with contextlib.redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                PROJECT,
                name=name,
                group=arm.run,
                config=dict(arm.config),
                resume="allow" if arm.again else "never",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        self._finish = trackio.finish
        last = SQLiteStorage.get_max_step_for_run(PROJECT, name, run_id=self._run.id) if arm.again else None
        self._last = -1 if last is None else last

    def log(self, iteration: int, values: Mapping[str, float]) -> None:
        """Takes an iteration's figures, unless it has them."""
        if iteration > self._last:
            self._run.log(dict(values), step=iteration)

    def close(self) -> None:
        """Ends the run."""
        with contextlib.redirect_stdout(io.StringIO()):
            # Not the run's own: trackio would finish it a second time, and say so, as the program ends.
            self._finish()


def start(arm: Arm) -> Tracker:
    """Begins or goes on with a run."""
    return Tracker(arm)
