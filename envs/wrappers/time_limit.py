"""A limit of turns."""

from __future__ import annotations

from envs.errors import InputError
from envs.types import Info, TextEnv
from envs.wrappers.wrapping import Played, Wrapper


class TimeLimit(Wrapper):
    """Truncates an episode after some turns, if the world inside does not end it before."""

    def __init__(self, env: TextEnv, turns: int) -> None:
        """Goes around a world.

        Args:
            env: the world inside.
            turns: the most that an episode may take, at least 1.

        Raises:
            InputError: there are fewer.
        """
        if turns < 1:
            raise InputError(f"a time limit should be 1 turn or more, got {turns}.")
        super().__init__(env)
        self._most, self._turns = turns, 0

    def on_reset(self, text: str, info: Info) -> tuple[str, Info]:
        """Starts to count."""
        self._turns = 0
        return text, info

    def on_step(self, text: str, played: Played) -> tuple[str, float, bool, bool, Info]:
        """Counts the turn."""
        self._turns += 1
        truncated = played.truncated or (self._turns >= self._most and not played.terminated)
        return text, played.reward, played.terminated, truncated, played.after
