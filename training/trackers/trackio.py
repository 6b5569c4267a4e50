"""trackio (`trackers=trackio`): a database on this machine, where `trackio show --project keystone` finds it.

That is `TRACKIO_DIR`, by default in the cache of Hugging Face. It goes to a Space or a server only if trackio's own
settings name one. A resumed run leaves out the iterations that are there: it repeats what it did. trackio knows runs by
their names alone, so that of another folder of the same name gets one of its own, which its folder keeps.
"""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Mapping

from training.trackers import Arm

PACKAGE = "trackio"
PROJECT = "keystone"


class Tracker:
    """One arm as one run of a project, grouped by the run folder's name."""

    def __init__(self, arm: Arm) -> None:
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        name = _name(arm)
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


def _name(arm: Arm) -> str:
    """What trackio knows an arm by: kept in the run's folder, and new to the project where the arm is."""
    from trackio.sqlite_storage import SQLiteStorage

    kept = arm.folder / "trackio" / f"{arm.name.replace(':', '_')}.name"
    name = f"{arm.run}-{arm.name}"
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    if not arm.again and SQLiteStorage.get_max_step_for_run(PROJECT, name) is not None:
        name = f"{name}-{uuid.uuid4().hex[:6]}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(name, encoding="utf-8")
    return name


def start(arm: Arm) -> Tracker:
    """Begins or goes on with a run."""
    return Tracker(arm)
