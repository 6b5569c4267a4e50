"""Faults of the run's own process: kills and Ctrl-C, at chosen and at random moments."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from itertools import cycle

from tests.chaos.jobs import Training, trained
from tests.chaos.rows import REPLAYED, fault
from tests.training.results import same
from training.folder import CONFIG, LOG, SUMMARY

_SHELLS = "Killed (says the shell); `python -m training.run resume=RUN` goes on"


@fault("`kill -9` of the trainer", _SHELLS, REPLAYED)
def trainer_killed(training: Training) -> str:
    folder = training.scratch / "killed"
    job = training.start(folder)
    job.until(lambda: trained(folder), "the first iteration is written")
    job.send(signal.SIGKILL)
    assert job.end() == -signal.SIGKILL
    assert not (folder / SUMMARY).exists()
    training.finish(folder)
    return _SHELLS


_ATTEMPTS = 5
PHASES = {
    "the base policy's evaluation": "model:",
    "the choice of the layer": "base: panel",
    "the layer's training": "layer ",
    "the full policy's training": "layer: panel",
    "the comparison at equal cost": "full: panel",
}


def asked(training: Training, phase: str, number: signal.Signals) -> str:
    """Asks a run to stop in a phase, and goes on with it."""
    for attempt in range(_ATTEMPTS):
        folder = training.scratch / f"stopped-{list(PHASES).index(phase)}-{attempt}"
        log = folder / LOG
        job = training.start(folder)
        job.until(lambda log=log: log.is_file() and f"\n{PHASES[phase]}" in log.read_text(), phase)
        job.send(number)
        code = job.end()
        if not (folder / SUMMARY).exists():
            break
        # On a busy machine it may be at its end before it is asked to stop.
        same(training.straight(), folder)
    assert code == 130, job.said()
    training.finish(folder)
    return job.line("stopped. Go on with")


@fault("Ctrl-C or SIGTERM, in every phase", "stopped. Go on with: python -m training.run resume=RUN", REPLAYED)
def stopped_everywhere(training: Training) -> str:
    numbers = cycle([signal.SIGINT, signal.SIGTERM])
    (said,) = {asked(training, phase, number) for phase, number in zip(PHASES, numbers, strict=False)}
    return said


def killed_at_random(training: Training, number: int) -> bool:
    """Kills a run at a random moment and goes on with it.

    The moment is a place in the log of the undisturbed run, and up to a fifth of a second more, so that it lies within
    the run however busy the machine is; one in ten is in the first second, when there may be no folder yet.

    Args:
        training: makes the runs.
        number: keys the moment.

    Returns:
        Whether the kill came before the run's end.

    Raises:
        AssertionError: the result is another one.
    """
    folder, draw = training.scratch / f"random-{number}", random.Random(number)
    # What follows is said when all is written.
    said = (training.straight() / LOG).read_bytes().partition(b" success on ")[0]
    place = draw.uniform(-0.1, 1.0) * len(said)
    delay = draw.uniform(0.0, 1.0 if place < 0 else 0.2)
    job = training.start(folder)

    def reached() -> bool:
        log = folder / LOG
        return job.process.poll() is not None or place < 0 or (log.exists() and log.stat().st_size >= place)

    job.until(reached, "the place in the log")
    try:
        job.process.wait(delay)
    except subprocess.TimeoutExpired:
        job.send(signal.SIGKILL)
        job.end()
    killed = not (folder / SUMMARY).exists()
    if not (folder / CONFIG).exists():
        # Killed before there was anything to go on with: the same command begins.
        again = training.start(folder)
        assert again.end() == 0, again.said()
        same(training.straight(), folder)
    else:
        training.finish(folder)
    shutil.rmtree(folder)
    return killed
