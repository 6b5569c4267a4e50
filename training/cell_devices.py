"""Which GPU a cell works on, where cells run side by side and there are several."""

from __future__ import annotations

import os
from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_devices() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; none on a machine without."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def least_used(devices: Sequence[str], used: Sequence[str]) -> str:
    """The device that the fewest of the workers have, the first of several; nothing if there is none."""
    return min(devices, key=used.count, default="")


def keep_to(device: str) -> None:
    """Has this process see one GPU alone, called before CUDA is begun; nothing leaves it what it sees."""
    if device:
        os.environ[VISIBLE] = device
