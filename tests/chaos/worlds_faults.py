"""Faults of what plays the worlds: workers, the sandbox, Java, vLLM."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envs.installation import REPOSITORY
from envs.sandbox.launch import missing
from tests.chaos.jobs import Job, Training, trained
from tests.chaos.rows import REPLAYED, fault
from tests.training.results import same, without_cost

ELSEWHERE = "tests.chaos.worlds:Elsewhere"
WORKER = "envs.pool.worker"
_VLLM_SECONDS = 1500.0
"""More than the test allows itself, which then ends its server."""


def elsewhere(training: Training) -> Training:
    """The short run with its world in worker processes."""
    words = ("pool.workers=2", "pool.step_seconds=5", "pool.reset_seconds=20")
    scratch, kept = training.scratch / "elsewhere", training.kept / "elsewhere"
    return Training(scratch, *words, env=ELSEWHERE, kept=kept, jobs=training.jobs)


def _signalled(training: Training, name: str, number: signal.Signals, said: str) -> str:
    """Sends a signal to both workers while an arm is trained; the run's result must not change."""
    training = elsewhere(training)
    straight, folder = training.straight(), training.scratch / name
    job = training.start(folder)
    job.until(lambda: trained(folder), "the first iteration is written")
    assert job.strike(WORKER, number), "there is no worker"
    assert job.end() == 0, job.said()
    same(straight, folder)
    return job.line(said)


@fault(
    "`kill -9` of workers that play a world",
    "worker 0 (pid N), ..., turn 0: the worker was killed by SIGKILL. The episode is played again, try 2 of 3....",
    "nothing: their episodes are begun again",
)
def workers_killed(training: Training) -> str:
    return _signalled(training, "killed", signal.SIGKILL, "was killed by SIGKILL")


@fault(
    "SIGSTOP of workers that play a world",
    "worker 0 (pid N), ..., turn 0: the worker gave no answer within N s. The episode is played again, try 2 of 3....",
    "nothing: their episodes are begun again",
)
def workers_stopped(training: Training) -> str:
    return _signalled(training, "frozen", signal.SIGSTOP, "gave no answer within")


def _scored(
    training: Training, scratch: Path, words: list[str], hurt: Callable[[Job], None] | None
) -> tuple[Job, list[Any]]:
    """Scores a player; returns the command and its rows but for times."""
    out = scratch / ("hurt" if hurt else "whole")
    job = training.began(Job("evals.run", [*words, f"out={out}"], scratch / f"{out.name}-said"))
    if hurt is not None:
        hurt(job)
    assert job.end() == 0, job.said()
    return job, [without_cost(json.loads(line)) for line in (out / "episodes.jsonl").read_text().splitlines()]


def _unharmed(training: Training, name: str, words: list[str], victim: str) -> Job:
    """Kills a process below an evaluation, which must go on with another one and come to the same rows."""
    scratch = training.scratch / name
    scratch.mkdir()
    out = scratch / "hurt" / "episodes.jsonl"

    def kill(job: Job) -> None:
        job.until(lambda: out.is_file() and bool(out.read_text()), "the first episode has ended")
        killed: set[int] = set()

        def struck() -> bool:
            killed.update(job.strike(victim, signal.SIGKILL))
            return bool(killed)

        job.until(struck, f"{victim} runs")
        job.until(lambda: any(child.pid not in killed for child in job.children(victim)), f"{victim} runs again")

    _, whole = _scored(training, scratch, words, None)
    job, rows = _scored(training, scratch, words, kill)
    assert rows == whole
    return job


@fault("`kill -9` of the sandbox", "nothing", "nothing: the program is run again")
def sandbox_killed(training: Training) -> str:
    if reason := missing("bubblewrap"):
        pytest.skip(reason)
    # One episode after the other, so that most are still to come when the first has ended.
    words = ["env=code_tiny", "policy=oracle", "tasks=60", "pool.workers=1", "pool.worlds=1"]
    return _unharmed(training, "sandbox", words, "bwrap").nothing()


@fault(
    "`kill -9` of ScienceWorld's Java process",
    "worker 0 (pid N), ...: ScienceWorld's Java process died (exit code -9). The next reset starts another. "
    "The episode is played again, try 2 of 3....",
    "nothing: its episode is begun again",
)
def java_killed(training: Training) -> str:
    pytest.importorskip("scienceworld")
    if shutil.which("java") is None:
        pytest.skip("java is not there: apt-get install default-jre-headless")
    words = ["env=scienceworld_easy", "policy=oracle", "tasks=2", "pool.workers=1"]
    return _unharmed(training, "java", words, "java").line("Java process died")


@fault(
    "`kill -9` of vLLM's server (`make test-vllm`)",
    "error: the vLLM server at http://... gave no answer to /... (...). Start it again. What was written before is "
    "whole; go on with: python -m training.run resume=RUN",
    REPLAYED,
)
def vllm_server_killed(training: Training) -> str:
    del training
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed in this environment; make test-vllm has one")
    # The test prints the line that it has seen.
    words = [sys.executable, "-m", "pytest", "-q", "-s", "tests/agents/vllm/test_server_killed.py"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=_VLLM_SECONDS)
    assert done.returncode == 0, done.stdout
    return next(line for line in done.stdout.splitlines() if line.startswith("error: "))
