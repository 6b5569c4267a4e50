"""Where the demonstrations come from that a small policy is cloned from."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from agents.draws import stream_seed
from envs.errors import InputError
from envs.pool import Pooled
from envs.screen import Screen
from envs.types import TextEnv
from envs.worlds import Failure, LocalWorlds, Worlds
from training.demonstrations import Noise, Step, demonstrations

if TYPE_CHECKING:
    from training.warmstart import WarmstartConfig

CHUNK = 256
"""Demonstrations that are made at a time, and sorted by length among themselves."""
Played = list[Step] | Failure


@dataclass
class Source:
    """Where demonstrations come from.

    Attributes:
        config: says how the player is disturbed and how many demonstrations there are.
        players: the players' names; each demonstration is played by one of them, at random.
        env: draws the tasks.
        make_env: makes an environment; where they are played, if it is a `Pooled`.
        screen: shows progress.
    """

    config: WarmstartConfig
    players: tuple[str, ...]
    env: TextEnv
    make_env: Callable[[], TextEnv]
    screen: Screen
    _bank: list[list[Step]] = field(default_factory=list)

    def play(self, seed: int, count: int) -> list[list[Step]]:
        """Plays demonstrations of the tasks drawn by a seed.

        Returns:
            Those to learn from: without those that the environment breaks and, if so configured, those that are lost.

        Raises:
            InputError: it breaks all of them, or the player wins none.
        """
        played = self._played(seed, count)
        self._check_whole(played)
        self._check_won(played)
        return self._kept(played)

    def _check_whole(self, played: Sequence[Played]) -> None:
        causes = [steps.cause for steps in played if isinstance(steps, Failure)]
        if len(causes) == len(played):
            raise InputError(f"the environment breaks all of {len(played)} demonstrations, the first so: {causes[0]}.")

    def _check_won(self, played: Sequence[Played]) -> None:
        won = any(not isinstance(steps, Failure) and steps[-1].won for steps in played)
        if self.config.only_wins and not won:
            players = ",".join(self.players)
            raise InputError(f"player={players} wins none of {len(played)} tasks, so there is nothing to learn from.")

    def _kept(self, played: Sequence[Played]) -> list[list[Step]]:
        """Those to learn from."""
        # What a player of several does that loses is what there is left to learn.
        every = not self.config.only_wins or len(set(self.players)) > 1
        return [steps for steps in played if not isinstance(steps, Failure) and (steps[-1].won or every)]

    def _played(self, seed: int, count: int, ended: Callable[[], None] = lambda: None) -> list[Played]:
        """Plays demonstrations of the tasks drawn by a seed."""
        config = self.config
        noise = Noise(config.burst_probability, config.burst_turns, config.invalid_share)
        worlds = self.make_env if isinstance(self.make_env, Pooled) else LocalWorlds(self.make_env)
        with warnings.catch_warnings():
            # Noise may lead to where a player knows no way on.
            warnings.simplefilter("ignore")
            return self._by_player(worlds, self.env.sample_tasks(seed, count), seed, noise, ended)

    def _by_player(
        self, worlds: Worlds, tasks: list[str], seed: int, noise: Noise, ended: Callable[[], None]
    ) -> list[Played]:
        """Plays tasks, each with the player that a draw of its own chooses."""
        seeds = range(seed, seed + len(tasks))
        chosen = [int(np.random.default_rng([one, 0x91A7]).integers(len(self.players))) for one in seeds]
        results: dict[int, Played] = {}
        for number, player in enumerate(self.players):
            rows = [row for row, choice in enumerate(chosen) if choice == number]
            chosen_tasks, chosen_seeds = [tasks[row] for row in rows], [seeds[row] for row in rows]
            played = demonstrations(worlds, player, chosen_tasks, chosen_seeds, noise, ended)
            results.update(zip(rows, played, strict=True))
        return [results[row] for row in range(len(tasks))]

    def chunks(self) -> Iterator[list[list[Step]]]:
        """Demonstrations without end: fresh ones, or of a slow world the same again and again in random order.

        Where a player wins seldom, some of the fresh chunks may be empty.

        Raises:
            InputError: a chunk or all of the slow world's break, or none of the first chunk's or of those wins.
        """
        seed, count = stream_seed(self.config.seed, "demonstrations"), self.config.demonstrations
        if self.env.in_process:
            yield self.play(seed, CHUNK)
            for start in itertools.count(CHUNK, CHUNK):
                played = self._played(seed + start, CHUNK)
                self._check_whole(played)
                yield self._kept(played)
        bank = self._made(seed, count)
        for epoch in itertools.count():
            order = np.random.default_rng([seed, epoch]).permutation(len(bank))
            for first in range(0, len(order), CHUNK):
                yield [bank[index] for index in order[first : first + CHUNK]]

    def _made(self, seed: int, count: int) -> list[list[Step]]:
        if not self._bank:
            played = list[Played]()
            with self.screen.bar("demonstrations", count) as bar:
                for first in range(0, count, CHUNK):
                    played += self._played(seed + first, min(CHUNK, count - first), bar.advance)
            # The last chunk may be small: only all of them together say that there is nothing to learn from.
            self._check_whole(played)
            self._check_won(played)
            self._bank = self._kept(played)
        return self._bank
