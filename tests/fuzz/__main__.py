"""`python -m tests.fuzz minutes=30 [seed=0] [reader="study,delta"]`: breaks files until the time is over.

Readers take turns of a few hundred examples each. A finding is shrunk, printed once, and kept in `out=` (by default
fuzz-findings/) as the broken file; exit code 1 if there is any.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings

from envs.command import run_command
from envs.config_schema import key
from envs.errors import unknown

if TYPE_CHECKING:
    from tests.fuzz.trying import Trial

EXAMPLES_A_TURN = 200
MOST_ADDRESSES = 16 << 30


@dataclass(frozen=True)
class FuzzConfig:
    """Keys of the fuzzer."""

    minutes: float = key(30.0, "how long to go on", unit="minutes", minimum=0)
    seed: int = key(0, "keys the mutations; 0 takes another seed every time", minimum=0)
    reader: str = key("", "names of readers, separated by commas; by default all")
    out: str = key("fuzz-findings", "where broken files that provoke a finding are kept")


def main(config: FuzzConfig) -> int:
    """Runs the command."""
    from tests.fuzz.readers import READERS
    from tests.fuzz.trying import Trial

    known = {reader.name: reader for reader in READERS if not reader.missing}
    chosen = [name.strip() for name in config.reader.split(",") if name.strip()] or list(known)
    for name in chosen:
        if name not in known:
            raise unknown("reader", name, known)
    # What a file makes a reader take is to fail here, not to bring the machine down.
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    until, findings, tried = time.monotonic() + 60 * config.minutes, dict[str, str](), dict.fromkeys(chosen, 0)
    draw = random.Random(config.seed or os.urandom(8))
    with tempfile.TemporaryDirectory(prefix="keystone-fuzz-") as scratch:
        os.environ["KEYSTONE_CACHE"] = str(Path(scratch) / "cache")
        trials = {}
        for name in chosen:
            place = Path(scratch) / name.replace(" ", "-")
            place.mkdir()
            trials[name] = Trial(known[name], place)
        while time.monotonic() < until:
            for name, trial in trials.items():
                if time.monotonic() < until:
                    tried[name] += turn(trial, draw.getrandbits(64), until, findings, Path(config.out))
    total = sum(tried.values())
    print(f"{total:,} broken files in {config.minutes:g} minutes, {len(findings)} findings", flush=True)
    for name, count in tried.items():
        print(f"  {name}: {count:,}")
    return int(bool(findings))


def turn(trial: Trial, number: int, until: float, findings: dict[str, str], out: Path) -> int:
    """Tries some hundred broken files with one reader; returns how many."""
    from tests.fuzz.watching import FindingError

    count, broken = 0, dict[str, dict[str, bytes]]()

    @seed(number)
    @settings(
        max_examples=EXAMPLES_A_TURN,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(trial.changes())
    def examples(changes: dict[str, bytes]) -> None:
        nonlocal count
        if time.monotonic() > until:
            return
        count += 1
        try:
            trial.read(changes)
        except FindingError as error:
            # The last one of a kind is the smallest.
            broken[str(error)] = changes
            raise

    try:
        examples()
    except (FindingError, ExceptionGroup) as error:
        for each in [error] if isinstance(error, FindingError) else error.exceptions:
            _keep(trial.reader.name, str(each), broken.get(str(each), {}), findings, out)
    return count


def _keep(reader: str, said: str, files: Mapping[str, bytes], findings: dict[str, str], out: Path) -> None:
    """Writes down a finding that is not there yet, with the files that provoke it."""
    mark = f"{reader}: {said[:80]}"
    if mark in findings:
        return
    findings[mark] = said
    place = out / f"{reader.replace(' ', '-')}-{len(findings)}"
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    print(f"FINDING {reader}: {said} (the file: {place})", flush=True)


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m tests.fuzz", FuzzConfig, main, description="Breaks the files that Keystone reads, for a while."
        )
    )
