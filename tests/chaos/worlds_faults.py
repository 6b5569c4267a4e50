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

import psutil
import pytest

from envs.sandbox.launch import missing
from tests.chaos.jobs import Job, Training, trained
from tests.chaos.rows import fault
from tests.training.results import same, without_cost

ELSEWHERE = "tests.chaos.worlds:Elsewhere"
WORKER = "envs.pool.worker"


def elsewhere(training: Training) -> Training:
    """The short run with its world in worker processes."""
    scratch = training.scratch / "elsewhere"
    scratch.mkdir(exist_ok=True)
    return Training(scratch, "pool.workers=2", "pool.step_seconds=5", "pool.reset_seconds=20", env=ELSEWHERE)


def _signalled(training: Training, name: str, number: signal.Signals) -> str:
    """Sends a signal to both workers while an arm is trained; the run's result must not change."""
    training = elsewhere(training)
    straight, folder = training.straight(), training.scratch / name
    job = training.start(folder)
    job.until(lambda: trained(folder), "the first iteration is written")
    for worker in job.children(WORKER):
        worker.send_signal(number)
    assert job.end() == 0, job.said()
    same(straight, folder)
    return job.line("worker 0")


@fault("`kill -9` of workers that play a world", "nothing: their episodes are begun again")
def workers_killed(training: Training) -> str:
    return _signalled(training, "killed", signal.SIGKILL)


@fault("SIGSTOP of workers that play a world", "nothing: their episodes are begun again")
def workers_stopped(training: Training) -> str:
    return _signalled(training, "frozen", signal.SIGSTOP)


def _scored(scratch: Path, words: list[str], hurt: Callable[[Job], None] | None) -> tuple[Job, list[Any]]:
    """Scores a player; returns the command and its rows but for times."""
    out = scratch / ("hurt" if hurt else "whole")
    job = Job("evals.run", [*words, f"out={out}"], scratch / f"{out.name}-said")
    if hurt is not None:
        hurt(job)
    assert job.end() == 0, job.said()
    return job, [without_cost(json.loads(line)) for line in (out / "episodes.jsonl").read_text().splitlines()]


def _unharmed(training: Training, name: str, words: list[str], victim: str) -> str:
    """Kills a process below an evaluation, whose rows must not change."""
    scratch = training.scratch / name
    scratch.mkdir()
    out = scratch / "hurt" / "episodes.jsonl"

    def kill(job: Job) -> None:
        job.until(lambda: out.is_file() and bool(out.read_text()), "the first episode has ended")
        job.until(lambda: bool(job.children(victim)), f"there is a process of {victim}")
        for process in job.children(victim):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    _, whole = _scored(scratch, words, None)
    job, rows = _scored(scratch, words, kill)
    assert rows == whole
    return job.line("episodes in")


@fault("`kill -9` of the sandbox", "nothing: the program is run again")
def sandbox_killed(training: Training) -> str:
    if reason := missing("bubblewrap"):
        pytest.skip(reason)
    return _unharmed(training, "sandbox", ["env=code_tiny", "policy=oracle", "tasks=60", "pool.workers=1"], "bwrap")


@fault("`kill -9` of ScienceWorld's Java process", "nothing: its episode is begun again")
def java_killed(training: Training) -> str:
    pytest.importorskip("scienceworld")
    if shutil.which("java") is None:
        pytest.skip("java is not there: apt-get install default-jre-headless")
    words = ["env=scienceworld_easy", "policy=oracle", "tasks=2", "pool.workers=1"]
    return _unharmed(training, "java", words, "java")


@fault("`kill -9` of vLLM's server (`make test-vllm`)", "the iteration under way, which is played again")
def vllm_server_killed(training: Training) -> str:
    del training
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed in this environment; make test-vllm has one")
    words = [sys.executable, "-m", "pytest", "-q", "tests/agents/vllm", "-k", "killed"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return "one line that names the server and what it did not answer (the test's own)"
