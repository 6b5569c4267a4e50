"""TensorBoard: event files under `RUN/tensorboard/ARM/`; `tensorboard --logdir RUN/tensorboard` shows them.

Written by tensorboardX (1 MB beside protobuf): PyTorch's own writer imports the `tensorboard` package, which brings a
web server and gRPC, 60 MB. A resumed run says from where on its figures count anew; TensorBoard drops the older ones.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from envs.files import writing
from training.trackers import Arm

PACKAGE = "tensorboardX"
FOLDER = "tensorboard"


class Tracker:
    """Writes one arm's event file.

    In this thread: the package's own writer hands events to a thread of its own, and once that has met a full disk, or
    a clock put back by weeks, whoever hands over the next ones waits for ever.
    """

    def __init__(self, arm: Arm) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder = arm.folder / FOLDER / arm.name.replace(":", "_").replace(" ", "_")
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Two files begun within a second have the same name but for the suffix.
            self._writer = EventsWriter(str(folder / "events"), f".{len(list(folder.iterdir())):04d}")
            if arm.again:
                began = SessionLog(status=SessionLog.START)
                self._writer.write_event(Event(wall_time=time.time(), step=arm.start, session_log=began))
        self._folder = folder

    def log(self, iteration: int, values: Mapping[str, float]) -> None:
        """Writes an iteration's figures."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        with writing(self._folder):
            for name, value in values.items():
                self._writer.write_event(Event(wall_time=time.time(), step=iteration, summary=scalar(name, value)))
            self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        with writing(self._folder):
            self._writer.close()


def start(arm: Arm) -> Tracker:
    """Begins an arm's event file."""
    return Tracker(arm)
