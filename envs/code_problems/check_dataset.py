"""`python -m envs.code_problems.check_dataset data=PATH`: do a dataset's own solutions pass, and wrong ones fail?

For every problem the reference solution is run against the tests, and two wrong versions of it: one whose functions
return other values, and one with a single operator, comparison or number changed. A problem whose reference fails, or
whose tests let altered values pass, is not usable for training and is listed with the reason. Exits with 1 if there is
one.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from rich.console import Console
from rich.table import Table

from envs.code_problems.datasets import SPLITS, MissingSplitError, read
from envs.code_problems.generator import DIFFICULTIES, generate, task_name
from envs.code_problems.mutations import altered, changed
from envs.code_problems.problems import Problem
from envs.code_problems.verification import run_tests, without_wrong_examples
from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.progress import track
from envs.sandbox import CHOICES, MOST_AT_A_TIME, means


@dataclass(frozen=True)
class CheckConfig:
    """Keys of `envs.code_problems.check_dataset`."""

    data: str = key("", "as for env.data; empty checks generated problems")
    problems: int = key(0, "problems to check, the first of each split; 0 checks all of a dataset", minimum=0)
    changes: int = key(1, "single changes to try in each reference solution", minimum=0)
    time_limit: int = key(10, "processor time for a program and all its tests", unit="seconds", minimum=1)
    sandbox: str = key("auto", "what confines programs", choices=CHOICES)


@dataclass(frozen=True)
class Outcome:
    """What became of one problem.

    Attributes:
        problem: the problem.
        trouble: why it is not usable, "" if it is.
        has_altered: whether other return values could be tried; of a class they cannot.
        tried: programs with a single change that were run.
        failed: how many of these failed.
    """

    problem: Problem
    trouble: str
    has_altered: bool = False
    tried: int = 0
    failed: int = 0


def main(config: CheckConfig) -> int:
    """Checks all problems and prints the counts. Returns 1 if a problem is not usable."""
    chosen = means(config.sandbox)
    problems = _problems(config)
    outcomes = _checked(problems, config, chosen)
    unusable = [outcome for outcome in outcomes if outcome.trouble]
    alterable = [outcome for outcome in outcomes if outcome.has_altered]
    table = Table("checked", "count", title=f"{config.data or 'generated problems'}; sandbox: {chosen}")
    table.add_row("problems", f"{len(outcomes):,}")
    table.add_row("reference passes, altered values fail: usable", f"{len(outcomes) - len(unusable):,}")
    table.add_row("problems whose values could be altered", f"{len(alterable):,}")
    table.add_row("programs with a single change", f"{sum(outcome.tried for outcome in outcomes):,}")
    table.add_row("of these, fail", f"{sum(outcome.failed for outcome in outcomes):,}")
    console = Console(highlight=False, markup=False)
    console.print(table)
    for outcome in unusable:
        console.print(f"not usable: {outcome.problem.name}: {outcome.trouble}", soft_wrap=True)
    return int(bool(unusable))


def _checked(problems: list[Problem], config: CheckConfig, sandbox: str) -> list[Outcome]:
    """Checks problems, several at a time; whatever ends it early, those that have not begun are not begun."""
    pool = ThreadPoolExecutor(MOST_AT_A_TIME)
    try:
        futures = [pool.submit(check, problem, config.changes, config.time_limit, sandbox) for problem in problems]
        return [future.result() for future in track(futures, "problems")]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check(problem: Problem, changes: int, seconds: int, sandbox: str) -> Outcome:
    """Runs a problem's reference and wrong versions of it.

    Args:
        problem: the problem.
        changes: how many single changes to try.
        seconds: of processor time, for each program.
        sandbox: what confines programs.
    """
    problem = without_wrong_examples(problem, seconds, sandbox)

    def trouble(program: str) -> str:
        verdict = run_tests(problem, program, seconds, sandbox).verdict()
        return "" if verdict.passed else verdict.reason

    if not problem.names:
        return Outcome(problem, "the tests use nothing that the reference defines")
    if found := trouble(problem.reference):
        return Outcome(problem, f"the reference fails: {found}")
    wrong = altered(problem)
    if wrong is not None and not trouble(wrong):
        return Outcome(problem, "the tests hold for other values too", has_altered=True)
    programs = list(islice(changed(problem), changes))
    failed = sum(bool(trouble(program)) for program in programs)
    return Outcome(problem, "", wrong is not None, len(programs), failed)


def _problems(config: CheckConfig) -> list[Problem]:
    most = config.problems or None
    if not config.data:
        numbers = range(config.problems or 20)
        every = [(split, difficulty) for split in SPLITS for difficulty in DIFFICULTIES]
        return [generate(task_name(*which, number), 2) for which in every for number in numbers]
    found: list[Problem] = []
    errors: list[InputError] = []
    for split in SPLITS:
        try:
            found += read(config.data, split, 1)[:most]
        except MissingSplitError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m envs.code_problems.check_dataset",
            CheckConfig,
            main,
            description="Do a dataset's own solutions pass its tests, and wrong ones fail?",
        )
    )
