"""`python -m envs.sandbox.bench`: how long does a program take in the sandbox, and a check of a program by its tests?

Each means that works here is timed with a program that does next to nothing: one after another, and as many at a time
as the sandbox allows. What is left out: the start of the workers, which is paid once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from envs.command import run_command
from envs.config_schema import key
from envs.sandbox import CHOICES, MEANS, MOST_AT_A_TIME, means, problem, run
from envs.verifiers.unit_tests import verify


@dataclass(frozen=True)
class BenchConfig:
    """Keys of `envs.sandbox.bench`."""

    sandbox: str = key("", "the means to time; empty times all that work here, and none", choices=("", *CHOICES))
    programs: int = key(200, "programs to run for each figure", unit="programs", minimum=1)


def main(config: BenchConfig) -> None:
    """Times and prints."""
    console = Console(highlight=False, markup=False)
    chosen = [means(config.sandbox)] if config.sandbox else [*MEANS, "unsafe"]
    table = Table("means", "", title="programs that do nothing", title_justify="left")
    for heading in ("one takes", f"a second, {MOST_AT_A_TIME} at a time"):
        table.add_column(heading, justify="right")
    for name in chosen:
        trouble = problem(name) if name in MEANS else ""
        if trouble:
            console.print(f"{name} does not work here: {trouble}", soft_wrap=True)
            continue
        for what, action in _actions(name).items():
            one, rate = _timed(action, config.programs)
            table.add_row(name, what, f"{one * 1e3:.1f} ms", f"{rate:,.0f}")
    console.print(table)


def _actions(sandbox: str) -> dict[str, Callable[[], object]]:
    return {
        "program": lambda: run("pass", sandbox=sandbox),
        "program and tests": lambda: verify("def f(x): return x + 1", "assert f(1) == 2", sandbox=sandbox),
    }


def _timed(action: Callable[[], object], count: int) -> tuple[float, float]:
    """Returns the seconds that one takes alone, and how many are done in a second together."""
    with ThreadPoolExecutor(MOST_AT_A_TIME) as pool:
        # The first starts the workers.
        list(pool.map(lambda _: action(), range(2 * MOST_AT_A_TIME)))
        begun = time.perf_counter()
        for _ in range(count):
            action()
        one = (time.perf_counter() - begun) / count
        begun = time.perf_counter()
        list(pool.map(lambda _: action(), range(count)))
        return one, count / (time.perf_counter() - begun)


if __name__ == "__main__":
    sys.exit(
        run_command("python -m envs.sandbox.bench", BenchConfig, main, description="How fast is the sandbox?"),
    )
