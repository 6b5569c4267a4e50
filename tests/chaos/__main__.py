"""`python -m tests.chaos`: provokes every fault and prints what the user sees and what is lost.

`kills=100` also kills a short run at a hundred random moments and goes on with each: all must end alike.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envs.command import run_command
from envs.config_schema import key
from envs.errors import unknown
from envs.progress import track

if TYPE_CHECKING:
    from tests.chaos.jobs import Training


@dataclass(frozen=True)
class ChaosConfig:
    """Keys of `python -m tests.chaos`."""

    only: str = key("", "one fault's name; by default all are provoked")
    kills: int = key(0, "kill a run at so many random moments instead", minimum=0)
    seed: int = key(0, "keys the moments", minimum=0)


def main(config: ChaosConfig) -> int:
    """Runs the command."""
    from tests.chaos.jobs import Training
    from tests.chaos.table import FAULTS

    if config.only and config.only not in FAULTS:
        raise unknown("fault", config.only, FAULTS)
    with tempfile.TemporaryDirectory(prefix="keystone-chaos-") as scratch:
        training = Training(Path(scratch))
        return _kills(training, config) if config.kills else _table(training, config.only)


def _table(training: Training, only: str) -> int:
    import pytest

    from tests.chaos.table import FAULTS

    failed = 0
    print("| fault | what the user sees | what is lost |\n|---|---|---|")
    for name, fault in FAULTS.items():
        if only in ("", name):
            try:
                said = fault.provoke(training).replace(str(training.scratch), "...").replace("|", "\\|")
            except AssertionError as error:
                failed, said = 1, f"BROKEN PROMISE: {' '.join(str(error).split())[:500]}"
            except pytest.skip.Exception as reason:
                said = f"not tried here: {reason}"
            print(f"| {fault.what} | {said} | {fault.lost} |", flush=True)
    return failed


def _kills(training: Training, config: ChaosConfig) -> int:
    from tests.chaos.faults import killed_at_random

    training.straight()
    alike = killed = 0
    for number in track(range(config.kills), "kills"):
        try:
            killed += killed_at_random(training, config.seed * 10**6 + number)
            alike += 1
        except AssertionError as error:
            print(f"kill {number}: {' '.join(str(error).split())[:3000]}", flush=True)
    print(f"{config.kills} runs, {killed} of them killed before their end, {alike} ended like the undisturbed one.")
    return int(alike < config.kills)


if __name__ == "__main__":
    DESCRIPTION = "Provokes faults on purpose: what the user sees, and what is lost."
    sys.exit(run_command("python -m tests.chaos", ChaosConfig, main, description=DESCRIPTION))
