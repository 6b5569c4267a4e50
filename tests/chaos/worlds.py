"""The guessing world, played in worker processes."""

from __future__ import annotations

from typing import ClassVar

from tests.training.doors import Guess


class Elsewhere(Guess):
    """Guess, for `env=tests.chaos.worlds:Elsewhere`."""

    in_process: ClassVar[bool] = False
