"""`python -m tests.soak minutes=120`: trains on two worlds at once and watches what the runs hold.

Memory, file descriptors, processes and temporary files of each run are read every half minute, those of its workers and
sandboxes with it. They must be flat: in the last quarter of the time a run may hold no more than in the second, but for
what `tests.soak.holdings` allows. At the end both are asked to stop, and must leave nothing. Ctrl-C ends it early.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError, unknown
from envs.progress import track
from evals.folder import Folder
from evals.hardware import hardware, versions
from tests.soak.holdings import SLACK, course, held
from training.folder import METRICS

WORLDS = {
    "alfworld": ("env=alfworld", "data=generated", "model=tiny", "layer=3"),
    # Programs in sandboxes, played in worker processes; the policy is the one that the study of code starts from.
    "code": (
        "env=code",
        "model=evals/results/studies/code-grpo/start",
        "model.max_reply_tokens=64",
        "algorithm=grpo",
        "layer=3",
    ),
    "guess": ("env=tests.training.guessing:Guess", "model.max_reply_tokens=4", "layer=1"),
}
# At this rate a policy neither dies nor gets anywhere for hours: the program is watched here, not what is learnt.
ENDLESS = (
    "compare=none",
    "iterations=5000",
    "panel_tasks=8",
    "tuning_tasks=8",
    "train.learning_rate=1e-6",
    "watch.limit=0",
)
STOPPED = 130
"""The exit code of a run that was asked to stop and did so in good order."""
LEAST_LOOKS = 4


@dataclass(frozen=True)
class SoakConfig:
    """Keys of `python -m tests.soak`."""

    minutes: float = key(120.0, "how long to train", unit="minutes", minimum=0)
    every: float = key(30.0, "how often to look", unit="seconds", minimum=0.05)
    worlds: str = key("alfworld,code", f"the worlds to train on at once, of {', '.join(WORLDS)}")
    out: str = key("evals/results/soak.json", "the file of the figures, JSON")


class Watched:
    """A training run that is watched.

    Args:
        words: its arguments.
        scratch: a folder for its run and its temporary files.
    """

    def __init__(self, words: list[str], scratch: Path) -> None:
        from tests.chaos.jobs import Job

        self._folder, self._temporary = scratch / "run", scratch / "temporary"
        self._temporary.mkdir(parents=True)
        self.rows: list[dict[str, float]] = []
        given = [*words, f"out={self._folder}"]
        self._job = Job("training.run", given, scratch / "said", {"TMPDIR": str(self._temporary)})
        self._process = psutil.Process(self._job.process.pid)

    def iterations(self) -> int:
        """How many it has finished."""
        return sum(1 for _ in Folder(self._folder).rows(METRICS)) if self._folder.exists() else 0

    def begin(self) -> None:
        """Waits until it trains.

        Raises:
            AssertionError: it ends or hangs instead.
        """
        self._job.until(lambda: self.iterations() > 0, "the first iteration")

    def look(self, seconds: float) -> None:
        """Reads what it holds.

        Raises:
            AssertionError: it has ended.
        """
        assert self._job.process.poll() is None, f"it ended: {self._job.said()}"
        done = self.iterations()
        self.rows.append({"seconds": round(seconds, 1), "iterations": done, **held(self._process, self._temporary)})

    def stop(self) -> list[str]:
        """Asks it to stop; what is left of it then: processes and temporary files."""
        below = self._process.children(recursive=True)
        self._job.send(signal.SIGTERM)
        code = self._job.end()
        left = [f"exit code {code}: {self._job.said()}"] if code != STOPPED else []
        _, alive = psutil.wait_procs(below, timeout=10)
        left += [f"process {one.pid}" for one in alive]
        return left + [str(path.relative_to(self._temporary)) for path in self._temporary.rglob("*")]

    def kill(self) -> None:
        """Ends it at once."""
        self._job.close()


def main(config: SoakConfig) -> int:
    """Runs the command."""
    names = [name.strip() for name in config.worlds.split(",")]
    for name in names:
        if name not in WORLDS:
            raise unknown("world", name, WORLDS)
    if looks_of(config) < LEAST_LOOKS:
        raise InputError(f"minutes={config.minutes:g} every={config.every:g}: {LEAST_LOOKS} looks or more are needed.")
    scratch = Path(tempfile.mkdtemp(prefix="keystone-soak-"))
    runs = {}
    try:
        for name in names:
            runs[name] = Watched([*_words(name, scratch), *ENDLESS], scratch / name)
        seconds = _watch(runs, config)
        return _report(config, runs, seconds)
    finally:
        for run in runs.values():
            run.kill()
        shutil.rmtree(scratch, ignore_errors=True)


def looks_of(config: SoakConfig) -> int:
    """How often the runs are looked at."""
    return round(60 * config.minutes / config.every)


def _words(name: str, scratch: Path) -> list[str]:
    """A world's arguments; the one of the tests has a random model of its own."""
    if name != "guess":
        return list(WORLDS[name])
    from tests.training.guessing import write_model

    write_model(scratch / "model", 3)
    return [*WORLDS[name], f"model={scratch / 'model'}"]


def _watch(runs: dict[str, Watched], config: SoakConfig) -> float:
    """Looks until the time is over, which begins when all train; the seconds that took."""
    for run in runs.values():
        run.begin()
    started = time.monotonic()
    try:
        for look in track(range(looks_of(config)), "looks"):
            time.sleep(max(0.0, started + (look + 1) * config.every - time.monotonic()))
            for run in runs.values():
                run.look(time.monotonic() - started)
    except KeyboardInterrupt:
        print("stopped early")
    return time.monotonic() - started


def _report(config: SoakConfig, runs: dict[str, Watched], seconds: float) -> int:
    """Stops the runs, prints and writes what they held; 1 if they held more and more or left something."""
    worlds: dict[str, Any] = {}
    print("| world | iterations | held | in the four quarters | |\n|---|---|---|---|---|")
    for name, run in runs.items():
        if len(run.rows) < 4:
            raise InputError(
                f"minutes={config.minutes:g}: {name} was seen in training {len(run.rows)} times, not four."
            )
        done, left = run.iterations(), run.stop()
        courses = {what: course(what, [row[what] for row in run.rows]) for what in SLACK}
        for what, one in courses.items():
            verdict = "GROWS" if one.grows else "flat"
            print(f"| {name} | {done} | {what} | {', '.join(f'{value:.0f}' for value in one.quarters)} | {verdict} |")
        print(f"{name}: left behind: {', '.join(left) or 'nothing'}")
        worlds[name] = {
            "iterations": done,
            "quarters": {what: one.quarters for what, one in courses.items()},
            "grows": [what for what, one in courses.items() if one.grows],
            "left": left,
            "looks": run.rows,
        }
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    command = f"python -m tests.soak minutes={config.minutes:g} every={config.every:g} worlds={config.worlds}"
    content = {
        "command": command,
        "date": date.today().isoformat(),
        "minutes": seconds / 60,
        "hardware": hardware(),
        "versions": versions(),
        "worlds": worlds,
    }
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{out}: the figures")
    return int(any(world["grows"] or world["left"] for world in worlds.values()))


if __name__ == "__main__":
    DESCRIPTION = "Trains on two worlds at once for hours; what they hold must stay the same."
    sys.exit(run_command("python -m tests.soak", SoakConfig, main, description=DESCRIPTION))
