"""Baselines that can play every world."""

from __future__ import annotations

import random

from envs.types import Info, TextEnv


class RandomPlayer:
    """Plays a random admissible command at every turn."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: the environment, after `reset`.
            seed: of its choices.
        """
        self._random = random.Random(seed)

    def act(self, text: str, info: Info) -> str:
        """Returns a random admissible command; an empty one where nothing can be done."""
        commands = info["admissible_commands"]
        return self._random.choice(commands) if commands else ""
