"""What is done about training that goes wrong: updates that are not made, and a stop after too many bad iterations.

`training.detectors` says what is wrong. An update that something is wrong with is skipped before the optimizer's step
and counted. Whatever was found in an iteration stands in its report; after `limit` such iterations in a row the run
stops. Going back to the weights of a checkpoint (`roll_back`) is up to who keeps them, `training.arms`; `sound` says to
which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.types import Episode
from envs.errors import KeystoneError
from training import detectors
from training.detectors import Iteration, Update, WatchConfig


class GoneWrongError(KeystoneError):
    """Training went wrong for so many iterations that going on is a waste."""


@dataclass(frozen=True)
class Finding:
    """Something that went wrong in an iteration.

    Attributes:
        detector: what found it.
        words: what it is.
        damages: whether the weights may have been harmed.
    """

    detector: str
    words: str
    damages: bool


class Watch:
    """Watches one arm's training.

    Args:
        config: what counts as wrong.

    Attributes:
        skipped: updates of the present iteration that were not made.
    """

    def __init__(self, config: WatchConfig) -> None:
        self._config = config
        self._detectors = [detectors.find(name) for name in detectors.names()]
        self._found: dict[str, Finding] = {}
        self.skipped = 0
        # Iterations in a row: of each detector that sees something, and with any finding.
        self._streaks: dict[str, int] = {}
        self._bad = 0

    def begin(self) -> None:
        """Begins an iteration."""
        self._found, self.skipped = {}, 0

    def refuses(self, update: Update) -> bool:
        """Whether an update is not to be made; then it is counted."""
        wrong = self._look("update", update)
        self.skipped += wrong
        return wrong

    def iteration(self, metrics: Mapping[str, float], episodes: Sequence[Episode]) -> tuple[Finding, ...]:
        """What went wrong in an iteration that is over, its updates included."""
        self._look("iteration", Iteration(metrics, episodes))
        self._bad = self._bad + 1 if self._found else 0
        return tuple(self._found.values())

    def check(self, iteration: int) -> None:
        """Ends training after too many bad iterations in a row.

        Raises:
            GoneWrongError: there were.
        """
        if self._config.limit and self._bad >= self._config.limit:
            found = "; ".join(f"{one.detector}: {one.words}" for one in self._found.values())
            raise GoneWrongError(
                f"training stopped after iteration {iteration + 1}: something went wrong in {self._bad} iterations in a"
                f" row, in the last one {found}. A lower learning rate may help, or watch.roll_back=true; watch.limit=0"
                " goes on whatever happens."
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to know; JSON."""
        return {"streaks": self._streaks, "bad": self._bad}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self._streaks, self._bad = dict(state["streaks"]), int(state["bad"])

    def _look(self, at: str, seen: Update | Iteration) -> bool:
        """Asks the detectors of a place; whether one of them found something."""
        found = False
        for detector in self._detectors:
            if detector.at != at:
                continue
            words, patience = detector.wrong(seen, self._config), detector.patience(self._config)
            if at == "iteration":
                self._streaks[detector.name] = self._streaks.get(detector.name, 0) + 1 if words else 0
            enough = at == "update" or 0 < patience <= self._streaks[detector.name]
            if words and enough:
                self._found.setdefault(detector.name, Finding(detector.name, words, detector.damages))
                found = True
        return found


def sound(history: Sequence[Mapping[str, Any]], every: int) -> set[int]:
    """Which checkpoints weights that may be harmed may give way to.

    A run that is stopped writes one more, which does not count: gone on with, it has to be the run that it would have
    been.

    Args:
        history: as for `watched`.
        every: a checkpoint is written after so many iterations.

    Returns:
        The numbers of iterations after which there is a checkpoint of weights that nothing was wrong with.
    """
    rows = enumerate(history, 1)
    return {0} | {done for done, row in rows if done % every == 0 and (row.get("rolled_back") or not row.get("found"))}


def watched(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What an arm's history says went wrong, for `summary.json`.

    Args:
        history: a row an iteration, with "found" (words by detector), "skipped_updates" and "rolled_back" if any.

    Returns:
        Skipped updates, iterations whose weights were rolled back, and by detector the iterations (counted from 1) in
        which it found something, and what it said first.
    """
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(history, 1):
        for name, words in row.get("found", {}).items():
            found.setdefault(name, {"iterations": [], "first": words})["iterations"].append(number)
    return {
        "skipped_updates": int(sum(row.get("skipped_updates", 0) for row in history)),
        "rolled_back": [number for number, row in enumerate(history, 1) if row.get("rolled_back")],
        "found": found,
    }
