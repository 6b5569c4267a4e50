"""Shaped rewards, those of potentials after Ng, Harada and Russell 1999 (ICML), theorem 1."""

from __future__ import annotations

from collections.abc import Callable

from envs.types import Info, TextEnv
from envs.wrappers.wrapping import Played, Wrapper


class RewardShaping(Wrapper):
    """Pays what a function says for every turn, in place of the world's own reward."""

    def __init__(self, env: TextEnv, shape: Callable[[Played], float]) -> None:
        """Goes around a world.

        Args:
            env: the world inside.
            shape: from a turn to its reward, which holds what the world inside paid (`Played.reward`).
        """
        super().__init__(env)
        self._shape = shape

    def on_step(self, text: str, played: Played) -> tuple[str, float, bool, bool, Info]:
        """Asks for the reward."""
        return text, self._shape(played), played.terminated, played.truncated, played.after


def potential_based(potential: Callable[[Info], float], discount: float = 1.0) -> Callable[[Played], float]:
    """Shapes by a potential of states: the world's reward + discount * potential(after) - potential(before).

    Which policies are best does not change thereby; the state at the end of an
    episode has the potential 0, also where it was cut.

    Args:
        potential: of a state, from what the world says of it.
        discount: that of the training.
    """

    def shape(played: Played) -> float:
        ended = played.terminated or played.truncated
        after = 0.0 if ended else potential(played.after)
        return played.reward + discount * after - potential(played.before)

    return shape
