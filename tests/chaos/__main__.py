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
        if not config.kills:
            return _table(Path(scratch), config.only)
        with Training(Path(scratch)) as training:
            return _kills(training, config)


def _table(scratch: Path, only: str) -> int:
    import pytest

    from tests.chaos.jobs import Training
    from tests.chaos.table import FAULTS

    failed, bar = 0, r"\|"
    print("| fault | what the user sees | what is lost |\n|---|---|---|")
    for name, fault in FAULTS.items():
        if only in ("", name):
            try:
                with Training(scratch / name, kept=scratch / "kept") as training:
                    said = fault.try_out(training)
            except pytest.skip.Exception as reason:
                said = f"not tried here: {reason}"
            except Exception as error:
                # Whatever it is, the other rows are printed too.
                failed, said = 1, f"BROKEN PROMISE: {_described(error, 500)}"
            print(f"| {fault.what} | {said.replace('|', bar)} | {fault.lost} |", flush=True)
    return failed


def _described(error: Exception, most: int) -> str:
    """An error in one line of so many characters at most."""
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return (kind + " ".join(str(error).split()))[:most]


def _kills(training: Training, config: ChaosConfig) -> int:
    from tests.chaos.signals import killed_at_random

    training.straight()
    alike = killed = 0
    for number in track(range(config.kills), "kills"):
        try:
            killed += killed_at_random(training, config.seed * 10**6 + number)
            alike += 1
        except Exception as error:
            print(f"kill {number}: {_described(error, 3000)}", flush=True)
    print(f"{config.kills} runs, {killed} of them killed before their end, {alike} ended like the undisturbed one.")
    return int(alike < config.kills)


if __name__ == "__main__":
    DESCRIPTION = "Provokes faults on purpose: what the user sees, and what is lost."
    sys.exit(run_command("python -m tests.chaos", ChaosConfig, main, description=DESCRIPTION))
