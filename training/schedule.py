"""How fast the warm start learns, and when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.warmstart import WarmstartConfig


class Schedule:
    """The learning rate's factor and the end of training.

    With a number of updates: up over 100 of them, then down linearly. Without: up, then level until the policy wins
    enough or the time is running out, then down over a share of as many updates as there were (after Hu et al., arXiv
    2404.06395). Without a success to reach, the time alone decides, down linearly.
    """

    def __init__(self, config: WarmstartConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts the clock."""
        self._config = config
        self._clock = clock
        self._started = clock()
        self._level_updates = 0

    def factor(self, update: int) -> float:
        """The learning rate's factor for an update, counted from 0; 0 if training is over."""
        done = self._done(update)
        return 0.0 if done >= 1.0 else min(1.0, (update + 1) / 100) * (1.0 - 0.98 * max(done, 0.0))

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._clock() - self._started

    def due(self, update: int) -> bool:
        """Whether to look how much the policy wins after so many updates."""
        looks = bool(self._config.success) and not self._config.updates and not self._level_updates
        return looks and update > 0 and update % self._config.check_updates == 0

    def wind_up(self, update: int) -> None:
        """Lets the rate go down from here."""
        self._level_updates = max(update, 1)

    def _done(self, update: int) -> float:
        config = self._config
        if config.updates:
            return update / config.updates
        spent = self.seconds / (60 * config.minutes)
        if not config.success:
            return spent
        # Going down takes the rest of the time.
        if not self._level_updates and spent >= 1 / (1 + config.decay):
            self.wind_up(update)
        if not self._level_updates:
            return 0.0
        falling = config.decay * self._level_updates
        return (update - self._level_updates) / falling if falling else 1.0
