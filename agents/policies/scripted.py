"""Scripted players as policies: the random, oracle and expert baselines that environments bring along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.draws import player_seed
from agents.types import EpisodeKey, Format, Reply
from envs.errors import unknown
from envs.types import Info, Player, TextEnv


class ScriptedPolicy:
    """Plays one of the environment's own players.

    Attributes:
        name: the player's name, one of the keys of `TextEnv.players`.
        format: WHOLE; the reply is the action.
    """

    format = Format.WHOLE

    def __init__(self, name: str) -> None:
        """Names the player."""
        self.name = name

    def open(self, keys: Sequence[EpisodeKey], envs: Mapping[int, TextEnv]) -> ScriptedSession:
        """Starts a batch of episodes, row i keyed by `keys[i]` and played in `envs[i]`."""
        return ScriptedSession(self.name, keys, envs)


class ScriptedSession:
    """The running players."""

    def __init__(self, name: str, keys: Sequence[EpisodeKey], envs: Mapping[int, TextEnv]) -> None:
        """Starts without players: one is built when its episode has been reset and it is asked for the first time."""
        self._name = name
        self._keys = keys
        self._envs = envs
        self._players: dict[int, Player] = {}

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        """Asks the player of each row for its next command.

        Raises:
            InputError: the environment has no player of this name.
        """
        return [
            Reply(self._player(row).act(observation, info))
            for row, observation, info in zip(rows, observations, infos, strict=True)
        ]

    def drop(self, rows: Sequence[int]) -> None:
        """Forgets the players of rows that have ended."""
        for row in rows:
            self._players.pop(row, None)

    def _player(self, row: int) -> Player:
        if row not in self._players:
            env = self._envs[row]
            if self._name not in env.players:
                raise unknown("player", self._name, env.players)
            self._players[row] = env.players[self._name](env, player_seed(self._keys[row]))
        return self._players[row]
