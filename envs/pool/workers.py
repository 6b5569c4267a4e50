"""A worker by its number: the process it is at present, and the episodes it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from envs.pool.episode import PooledEpisode
from envs.pool.process import WorkerProcess


@dataclass(eq=False)
class Worker:
    """A worker by its number, whichever process it is now.

    Attributes:
        number: what the log calls it.
        process: its process; None until it is needed.
        episodes: by place, what it holds.
        serving: the episode whose request it was given last.
    """

    number: int
    process: WorkerProcess | None = None
    episodes: dict[int, PooledEpisode] = field(default_factory=dict)
    serving: PooledEpisode | None = None

    def __str__(self) -> str:
        """What the log calls it."""
        return f"worker {self.number}" + (f" (pid {self.process.pid})" if self.process is not None else "")

    def next(self) -> PooledEpisode | None:
        """The episode to ask something for next."""
        return next((episode for episode in self.episodes.values() if episode.waiting), None)

    def suspect(self) -> PooledEpisode | None:
        """The episode that has to do with the loss of the process, if any has."""
        if self.serving is not None and self.serving.failure is None:
            return self.serving
        return self.next() if self.process is not None and self.process.ready else None

    def detach(self) -> None:
        """Its process has ended: its episodes need everything of the next one."""
        self.process = self.serving = None
        for episode in self.episodes.values():
            episode.rewind()
