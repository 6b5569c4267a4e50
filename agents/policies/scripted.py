"""Scripted players as policies: the random, oracle and expert baselines that environments bring along."""

from __future__ import annotations

from collections.abc import Sequence

from agents.draws import player_seed
from agents.types import EpisodeKey, Format, Reply
from envs.types import Info
from envs.worlds import Players


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

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> ScriptedSession:
        """Starts a batch of episodes, row i keyed by `keys[i]`."""
        return ScriptedSession(self.name, keys, players)


class ScriptedSession:
    """The running players, each beside its world."""

    def __init__(self, name: str, keys: Sequence[EpisodeKey], players: Players) -> None:
        """Starts without players: one is built when its row is asked for the first time."""
        self._name = name
        self._keys = keys
        self._players = players
        self._seeds: dict[int, int] = {}

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        """Asks the player of each row for its next command.

        Raises:
            InputError: the environment has no player of this name.
        """
        for row in rows:
            if row not in self._seeds:
                self._seeds[row] = player_seed(self._keys[row])
        commands = self._players.act(self._name, {row: self._seeds[row] for row in rows})
        return [Reply(command) for command in commands]

    def drop(self, rows: Sequence[int]) -> None:
        """Forgets the rows that have ended; their players end with their worlds."""
        for row in rows:
            self._seeds.pop(row, None)
