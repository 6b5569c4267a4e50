"""Does a program pass its tests? Both run in sandboxes of their own, and the verdict comes from the tests' side alone.

The program lives in one sandboxed process, the tests in another. Where a test calls the program's function, the
arguments go over as plain data, the function runs on its side, and the value comes back as plain data and is compared
on the tests' side by built-in kinds only. So the usual cheats have nothing to hold on to: the program cannot read or
edit the tests, which are not in its process, its memory or its files; leaving with `sys.exit(0)`, `os._exit(0)` or a
signal leaves the tests unanswered; patched builtins, assertions or `__eq__` are patched where nothing is compared;
what it prints is not looked at; there is no exception of the harness to catch; and threads and children it leaves
behind are killed with its process namespace.

What remains:
- Tests should import what they use. A name that they neither define nor import, and that is no builtin, is taken to
  be the program's; `names` says exactly which are. A module of the standard library that they use without importing
  it is imported.
- A program sees the arguments that it is called with, one call after another. It can remember them and tell a test
  from another by them; whoever knows expected values by heart can return them. That is for hidden tests to prevent.
- Tests that execute what the program returns (`eval(f(x))`), or that only compare what it returned with what it
  returned, or with arguments that it changed in place, believe the program.
- Objects of the program's own classes are equal to themselves only; tests look at their attributes, items or texts.
  Tests can hand over plain values, functions and the program's own objects, not objects of classes of their own.
  Named tuples, counters and other subclasses of built-in kinds are compared as these.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from envs.errors import InputError
from envs.sandbox import Execution, Limits, SandboxResult, attempt, lease, means, watch
from envs.verifiers import Verdict

_CANDIDATE = ("envs.verifiers.exchange", "envs.verifiers.candidate")
_EXAMINER = ("envs.verifiers.exchange", "envs.verifiers.remote", "envs.verifiers.examiner")
_MOST_REPORTED = 1 << 22


@dataclass(frozen=True, slots=True)
class TestResult:
    """What became of one statement that tests something.

    Attributes:
        source: the statement.
        passed: whether it held.
        message: what went wrong, "" if nothing did.
    """

    source: str
    passed: bool
    message: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What became of all tests.

    Attributes:
        count: how many statements test something.
        results: of the first of them, in their order; the tests may have been stopped before the others.
        stopped: why they were stopped, "" if they were not.
    """

    count: int
    results: tuple[TestResult, ...]
    stopped: str

    def passed(self, first: int = 0, last: int | None = None) -> bool:
        """Whether the tests from one to before another, by default all, have passed."""
        end = self.count if last is None else last
        return len(self.results) >= end and all(result.passed for result in self.results[first:end])

    def verdict(self) -> Verdict:
        """Passed if all tests hold; the score is the share of them that do."""
        if self.passed():
            return Verdict(1.0, True, f"all {self.count} tests hold")
        held = sum(result.passed for result in self.results)
        failed = next((result for result in self.results if not result.passed), None)
        told = [f"{_first_line(failed.source)}: {_first_line(failed.message)}"] if failed else []
        why = "; ".join([*told, *([self.stopped] if self.stopped else [])])
        return Verdict(held / self.count, False, f"{held} of {self.count} tests hold; {why}")


def verify(
    program: str,
    tests: str | Sequence[str],
    limits: Limits | None = None,
    *,
    names: Sequence[str] | None = None,
    sandbox: str = "auto",
) -> Verdict:
    """Runs a program's tests.

    Args:
        program: Python source text.
        tests: Python source text, or a list of such texts. Every statement (of a list: every text) that is no import,
            definition or assignment is a test.
        limits: for the program and for the tests, each; the defaults of `Limits` if None.
        names: what the program has to define for the tests; None for all names that they use and do not define.
        sandbox: as for `envs.sandbox.run`.

    Returns:
        Passed if all tests hold; the score is the share of them that do.

    Raises:
        InputError: the tests are not Python or test nothing, or nothing that confines programs works here.
        SandboxError: the sandbox itself broke, twice.
    """
    return examine(program, tests, limits, names=names, sandbox=sandbox).verdict()


def examine(
    program: str,
    tests: str | Sequence[str],
    limits: Limits | None = None,
    *,
    names: Sequence[str] | None = None,
    sandbox: str = "auto",
) -> Examination:
    """Does what `verify` does and tells of every test; see there for arguments and errors."""
    chosen = means(sandbox)
    allowed = limits or Limits()
    job = json.dumps({"tests": tests if isinstance(tests, str) else list(tests), "names": names and list(names)})

    def once() -> Examination:
        ours, theirs = socket.socketpair()
        with ours, theirs, lease(chosen, _EXAMINER) as one, lease(chosen, _CANDIDATE) as other:
            examiner = Execution(one, job, allowed, entry=_EXAMINER[-1], own=[ours.fileno()], results=_MOST_REPORTED)
            try:
                candidate = Execution(other, program, allowed, entry=_CANDIDATE[-1], own=[theirs.fileno()])
                try:
                    # Each side should see the end of the other.
                    ours.close()
                    theirs.close()
                    watch([examiner, candidate], allowed.wall_seconds)
                    return _conclude(examiner, candidate.result(), dismissed=candidate.dismissed)
                finally:
                    candidate.close()
            finally:
                examiner.close()

    return attempt(once)


def _conclude(examiner: Execution, program: SandboxResult, *, dismissed: bool) -> Examination:
    """Reads the reports of the tests' side; of a program that was dismissed the ending says nothing."""
    ending = examiner.result()
    # A side that was killed while it wrote, or wrote too much, leaves half a line.
    lines = examiner.text(examiner.results).splitlines(keepends=True)
    reports = [json.loads(line) for line in lines if line.endswith("\n")]
    if reports and "invalid" in reports[0]:
        raise InputError(f"{reports[0]['invalid']}.")
    if not reports:
        return Examination(1, (), f"the tests were stopped: {ending.reason}")
    if not reports[0]["count"]:
        raise InputError("the tests hold nothing that can fail: they should have an assert statement or a call.")
    results = tuple(TestResult(**report) for report in reports[1:])
    stopped = ""
    if len(results) < reports[0]["count"]:
        stopped = f"the tests were stopped: {ending.reason}"
    elif not (dismissed or program.status in ("ok", "error") or all(result.passed for result in results)):
        stopped = f"the program was {program.reason}"
    return Examination(reports[0]["count"], results, stopped)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
