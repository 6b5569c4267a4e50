"""TensorBoard: event files under `RUN/tensorboard/ARM/`; `tensorboard --logdir RUN/tensorboard` shows them.

Written by tensorboardX (1 MB beside protobuf): PyTorch's own writer imports the `tensorboard` package, which brings a
web server and gRPC, 60 MB. A resumed run says from where on its figures count anew; TensorBoard drops the older ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.trackers import Arm

PACKAGE = "tensorboardX"
FOLDER = "tensorboard"


class Tracker:
    """Writes one arm's event file."""

    def __init__(self, arm: Arm) -> None:
        from tensorboardX import SummaryWriter

        folder = arm.folder / FOLDER / arm.name.replace(":", "_").replace(" ", "_")
        # Two files begun within a second have the same name but for the suffix.
        number = len(list(folder.iterdir())) if folder.is_dir() else 0
        self._writer = SummaryWriter(
            str(folder), purge_step=arm.start if arm.again else None, filename_suffix=f".{number:04d}"
        )

    def log(self, iteration: int, values: Mapping[str, float]) -> None:
        """Writes an iteration's figures."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


def start(arm: Arm) -> Tracker:
    """Begins an arm's event file."""
    return Tracker(arm)
