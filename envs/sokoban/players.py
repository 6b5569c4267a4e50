"""Scripted players of Sokoban: one that knows a solution, and one that knows it too but paces."""

from __future__ import annotations

import warnings
from typing import Protocol, runtime_checkable

from envs.errors import InputError
from envs.players import RandomPlayer
from envs.sokoban.solver import UnsolvedError
from envs.types import Info, TextEnv

_BACK = {"up": "down", "down": "up", "left": "right", "right": "left"}


@runtime_checkable
class Board(Protocol):
    """What the players ask of a `Sokoban` in play."""

    def solution(self) -> list[str]:
        """Returns moves that win from where the game stands."""
        ...

    def board_after(self, move: str) -> str:
        """Returns what the board would look like after a move, which is `info["anchor"]` then."""
        ...


class OraclePlayer:
    """Plays a solution with as few pushes as possible, found again whenever the board is not as it was left."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: a `Sokoban`, after `reset`.
            seed: of the moves that it plays where it finds no solution.
        """
        if not isinstance(env, Board):
            raise InputError(f"this player plays Sokoban only, not {type(env).__name__}.")
        self._env: Board = env
        self._random = RandomPlayer(env, seed)
        self._moves: list[str] = []
        self._expected = ""
        self._given_up = False

    def act(self, text: str, info: Info) -> str:
        """Returns the next move of a solution; any move where none is found, after a warning that says so."""
        if not self._given_up and info["anchor"] != self._expected:
            try:
                self._moves = list(reversed(self._env.solution()))
            except UnsolvedError as error:
                self._given_up = True
                warnings.warn(f"the oracle plays at random in {info['task']}: {error}", stacklevel=2)
        if self._given_up or not self._moves:
            return self._random.act(text, info)
        self._expected = self._env.board_after(self._moves[-1])
        return self._moves.pop()


class PacingPlayer(OraclePlayer):
    """Knows the same solution and paces: after a step that pushes nothing it goes back, and then takes it again.

    It never loses a level by it, but takes up to three times as many turns.
    """

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: a `Sokoban`, after `reset`.
            seed: of the moves that it plays where it finds no solution.
        """
        super().__init__(env, seed)
        self._again: list[str] = []
        self._foreseen = ""

    def act(self, text: str, info: Info) -> str:
        """Returns the next move."""
        if info["anchor"] != self._foreseen:
            self._again = []
        if self._again:
            move = self._again.pop(0)
        else:
            move = super().act(text, info)
            if _boxes(self._env.board_after(move)) == _boxes(info["anchor"]) and not self._given_up:
                self._again = [_BACK[move], move]
        self._foreseen = self._env.board_after(move)
        return move


def _boxes(board: str) -> list[int]:
    """Places of the boxes in a drawn board."""
    return [place for place, square in enumerate(board) if square in "$*"]
