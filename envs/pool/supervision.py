"""The pool: episodes on worker processes, each request under a deadline, and what is done when a worker fails.

A request is answered by its own worker alone, and a worker is asked one thing at a time, so that it is known who failed
at what. When a worker is lost, the episode it was busy with (or was busy with last) is begun again, at most `tries`
times, and the other episodes it held go on in the new worker: their commands are played again there first, and what is
said must be what was said before.
"""

from __future__ import annotations

import logging
import os
import selectors
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import gymnasium

from envs.errors import InputError
from envs.pool.config import MEGABYTE, PoolConfig
from envs.pool.counts import Counts
from envs.pool.episode import ChangedError, PooledEpisode, Start
from envs.pool.guardian import Guardian
from envs.pool.messages import Kind, Outcome, Reply, Request
from envs.pool.process import WorkerProcess
from envs.pool.workers import Worker
from envs.worlds import Failure

_LOGGER = logging.getLogger("keystone.pool")
# How often workers are looked at that say nothing.
_TICK_SECONDS = 0.2
_MEMORY_SECONDS = 1.0
_CLOSE_SECONDS = 3.0
_REPLACE_SECONDS = 1.0
_MOST_FAILED_STARTS = 3


class Pool:
    """Worker processes that hold worlds. Used by one thread at a time.

    Attributes:
        config: the keys.
        capacity: how many episodes can run at a time.
        counts: what went wrong so far.
    """

    def __init__(self, config: PoolConfig | None = None, log: Callable[[str], None] | None = None) -> None:
        """Starts nothing yet: a worker's process is started when an episode needs it.

        Args:
            config: the keys.
            log: told of every worker that is lost or replaced, in one line; the logger "keystone.pool" if None.
        """
        self.config = config or PoolConfig()
        self.counts = Counts()
        self._log = log or _LOGGER.warning
        self._places = self.config.num_worlds
        self._memory_bytes = self.config.memory_bytes
        self._workers = [Worker(number) for number in range(self.config.num_workers)]
        self._guardian = Guardian()
        self._rows: dict[int, tuple[Worker, PooledEpisode]] = {}
        self._failed_starts = 0
        self._memory_checked = time.monotonic()
        self.capacity = len(self._workers) * self._places
        weakref.finalize(self, _end, self._workers, self._guardian, os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reset(self, starts: Mapping[int, Start]) -> dict[int, Any]:
        """Starts an episode in each of these rows; one that is there ends.

        Args:
            starts: by row, what to start.

        Returns:
            By row, text and info, or a `Failure`.

        Raises:
            InputError: a world refuses its options or its task, no worker can be started, or the pool is full. None of
                these rows has an episode then.
        """
        self.release(starts)
        if len(self._rows) + len(starts) > self.capacity:
            raise InputError(f"the pool has room for {self.capacity} episodes at a time. Raise pool.worlds.")
        for row, start in starts.items():
            worker = min(self._workers, key=lambda each: len(each.episodes))
            place = next(number for number in range(self._places) if number not in worker.episodes)
            episode = worker.episodes[place] = PooledEpisode(start, place)
            self._rows[row] = worker, episode
        try:
            return self._ask({row: start.request for row, start in starts.items()})
        except BaseException:
            self.release(starts)
            raise

    def act(self, player: str, seeds: Mapping[int, int]) -> dict[int, Any]:
        """Asks the rows' players for their next commands (see `envs.worlds.Players`).

        Returns:
            By row, the command, or a `Failure`.

        Raises:
            InputError: there is no such player.
            ResetNeeded: a row has no episode.
        """
        return self._ask({row: Request(Kind.ACT, (player, seed)) for row, seed in seeds.items()})

    def step(self, commands: Mapping[int, str]) -> dict[int, Any]:
        """Plays one command in each of these rows.

        Returns:
            By row, what `TextEnv.step` returns, or a `Failure`.

        Raises:
            ResetNeeded: a row has no episode.
        """
        return self._ask({row: Request(Kind.STEP, (command,)) for row, command in commands.items()})

    def release(self, rows: Iterable[int]) -> None:
        """Ends the episodes of these rows, and replaces workers whose memory has grown past the limit."""
        left = set()
        for row in rows:
            if row in self._rows:
                worker, episode = self._rows.pop(row)
                del worker.episodes[episode.place]
                left.add(worker.number)
                if worker.serving is episode:
                    worker.serving = None
        for number in sorted(left):
            self._recycle(self._workers[number])

    def close(self) -> None:
        """Ends all workers; a pool that is used again starts new ones."""
        for worker in self._workers:
            if worker.process is not None:
                worker.process.ask_to_end()
        limit = time.monotonic() + _CLOSE_SECONDS
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill(max(limit - time.monotonic(), 0.0))
                worker.detach()
        self.release(list(self._rows))
        self._guardian.close()

    def _ask(self, requests: Mapping[int, Request]) -> dict[int, Any]:
        """Has all these rows do something, and waits until each has an outcome."""
        if free := [row for row in requests if row not in self._rows]:
            raise gymnasium.error.ResetNeeded(f"row {free[0]} has no episode; reset it first")
        episodes = {row: self._rows[row][1] for row in requests}
        answered = {row: len(episode.said) for row, episode in episodes.items()}
        for row, episode in episodes.items():
            if episode.failure is None:
                episode.asked.append(requests[row])
        try:
            while any(episode.waiting for episode in episodes.values()):
                self._go_on()
        except BaseException:
            # Whoever catches this (Ctrl-C in a notebook) may use the pool again: no late answer may come then, and no
            # row may have done what others have not.
            for row, episode in episodes.items():
                episode.withdraw(answered[row])
            for worker in self._workers:
                if worker.process is not None:
                    worker.process.kill()
                    worker.detach()
            raise
        return {row: episode.outcome for row, episode in episodes.items()}

    def _go_on(self) -> None:
        """Hands out what can be asked, waits for something to happen, and looks at every worker."""
        for worker in self._workers:
            self._feed(worker)
        now = time.monotonic()
        with selectors.DefaultSelector() as selector:
            wait = _TICK_SECONDS
            for worker in self._workers:
                if worker.process is not None:
                    worker.process.register(selector, worker)
                    wait = min(wait, max(worker.process.deadline - now, 0.0))
            changed = {key.data.number: key.data for key, _ in selector.select(wait)}
        for worker in changed.values():
            self._listen(worker)
        for worker in self._workers:
            self._watch(worker)
        if time.monotonic() - self._memory_checked > _MEMORY_SECONDS:
            for worker in self._workers:
                self._bound(worker)
            self._memory_checked = time.monotonic()

    def _feed(self, worker: Worker) -> None:
        """Gives a worker its next request, after starting it where needed."""
        episode = worker.next()
        if episode is None:
            return
        if worker.process is None:
            try:
                worker.process = WorkerProcess(self._guardian, self.config.reset_seconds)
            except OSError as error:
                self._count_failed_start(str(error))
        elif not worker.process.busy:
            worker.serving = episode
            worker.process.ask(episode.place, episode.request, self._seconds(episode))

    def _seconds(self, episode: PooledEpisode) -> float:
        """The time that a world has for what it is asked next."""
        return self.config.reset_seconds if episode.request.kind is Kind.RESET else self.config.step_seconds

    def _listen(self, worker: Worker) -> None:
        """Sends what is left to send, and takes a reply that has come."""
        if worker.process is None:
            return
        worker.process.send()
        try:
            reply = worker.process.receive()
        except ValueError as error:
            worker.process.kill()
            self._lose(worker, str(error))
            return
        if reply is not None:
            self._take(worker, reply)

    def _take(self, worker: Worker, reply: Reply) -> None:
        if reply.outcome is Outcome.READY:
            self._failed_starts = 0
            return
        if reply.outcome is Outcome.REFUSED:
            raise InputError(reply.value)
        episode = worker.serving
        assert episode is not None
        if reply.outcome is Outcome.RAISED:
            self._report(worker, episode, f"{reply.value.rstrip('.')}. {self._blame(episode, reply.value)}")
            episode.rewind()
            return
        try:
            episode.take(reply.value)
        except ChangedError:
            cause = f"begun again ({episode.cause}), its world said something else than before in turn {episode.turn}"
            self._fail(episode, cause)
            self._report(worker, episode, f"{cause}. It is recorded as an error.")

    def _watch(self, worker: Worker) -> None:
        """Finds out whether a worker has ended or is overdue."""
        process = worker.process
        if process is None:
            return
        overdue = time.monotonic() > process.deadline
        ended = process.closed or process.exited()
        if overdue or ended:
            # Its answer may be there unread: this process itself may have been held up.
            self._listen(worker)
        if worker.process is not process:
            return
        if ended:
            self._lose(worker, process.bury())
        elif overdue and process.busy:
            process.kill()
            if process.ready and worker.serving is not None:
                self._lose(worker, f"gave no answer within {self._seconds(worker.serving):g} s")
            else:
                self._lose(worker, f"was not ready within {self.config.reset_seconds:g} s")

    def _bound(self, worker: Worker) -> None:
        """Ends a worker at once that has grown far beyond the limit."""
        if worker.process is not None and worker.process.memory() > 2 * self._memory_bytes:
            worker.process.kill()
            self._lose(worker, f"held more than {2 * self._memory_bytes // MEGABYTE} MB, twice pool.memory_megabytes")

    def _recycle(self, worker: Worker) -> None:
        """Replaces a worker that has grown beyond the limit, between episodes."""
        if worker.process is None or worker.process.busy:
            return
        held = worker.process.memory()
        if held > self._memory_bytes:
            self._log(
                f"{worker} holds {held // MEGABYTE} MB after an episode, more than pool.memory_megabytes="
                f"{self._memory_bytes // MEGABYTE}. It is replaced.{_others(len(worker.episodes))}"
            )
            worker.process.ask_to_end()
            worker.process.kill(_REPLACE_SECONDS)
            worker.detach()
            self.counts = self.counts._replace(recycled=self.counts.recycled + 1)

    def _lose(self, worker: Worker, cause: str) -> None:
        """A worker's process has ended: says so, and has its episodes begun again.

        Args:
            worker: the worker.
            cause: why, the same whenever it happens.
        """
        process, suspect = worker.process, worker.suspect()
        assert process is not None
        line = process.last_words()
        said = f"{cause}; it printed: {line}" if line else cause
        if suspect is None:
            self._log(f"{worker} {said}. It is started again.{_others(len(worker.episodes))}")
        else:
            verdict = self._blame(suspect, f"the worker {cause} in turn {suspect.turn}")
            self._report(worker, suspect, f"the worker {said}. {verdict}", len(worker.episodes) - 1)
        worker.detach()
        self.counts = self.counts._replace(restarted=self.counts.restarted + 1)
        if not process.ready:
            self._count_failed_start(said)

    def _count_failed_start(self, cause: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise InputError(f"the pool's workers cannot be started, {self._failed_starts} times running: {cause}.")

    def _blame(self, episode: PooledEpisode, cause: str) -> str:
        """Counts a failure of an episode; says what comes of it."""
        episode.cause = cause
        if episode.tries < self.config.tries:
            episode.tries += 1
            self.counts = self.counts._replace(replayed=self.counts.replayed + 1)
            return f"The episode is played again, try {episode.tries} of {self.config.tries}."
        self._fail(episode, cause)
        return f"The episode was begun {episode.tries} times and is recorded as an error."

    def _fail(self, episode: PooledEpisode, cause: str) -> None:
        episode.failure = Failure(cause)
        self.counts = self.counts._replace(failed=self.counts.failed + 1)

    def _report(self, worker: Worker, episode: PooledEpisode, text: str, others: int = 0) -> None:
        world = f"{episode.start.world.name}, task {episode.task}, turn {episode.turn}"
        self._log(f"{worker}, {world}: {text}{_others(others)}")


def _others(count: int) -> str:
    return f" Episodes it held besides, which go on in the new one: {count}." if count else ""


def _end(workers: list[Worker], guardian: Guardian, owner: int) -> None:
    """Ends what a pool that was not closed has left; not in a fork of its process, whose workers they are not."""
    if os.getpid() != owner:
        return
    for worker in workers:
        if worker.process is not None:
            worker.process.kill()
            worker.detach()
    guardian.close()
