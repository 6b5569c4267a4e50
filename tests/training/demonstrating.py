"""One demonstration at a time."""

from __future__ import annotations

from envs.types import TextEnv
from envs.worlds import Failure, LocalWorlds
from training.demonstrations import Noise, Step, demonstrations


def demonstrate(env: TextEnv, player: str, task: str, seed: int, noise: Noise) -> list[Step]:
    """Plays one task in an environment that is at hand.

    Raises:
        RuntimeError: the environment broke it.
    """
    (played,) = demonstrations(LocalWorlds(lambda: env), player, [task], [seed], noise)
    if isinstance(played, Failure):
        raise RuntimeError(played.cause)
    return played
