"""A command that runs while something is done to it, and the short run that most faults are tried on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import psutil

from agents.models import quiet
from envs.installation import REPOSITORY
from evals.folder import Folder
from tests.forked import Forked
from tests.training.guessing import write_model
from tests.training.results import same
from training.folder import METRICS, SUMMARY

PATIENCE = 300.0
"""Seconds that anything may take before a fault counts as a hang."""
ITERATIONS = 4
BLOCKS = 3


class Job:
    """A command in a process of its own, with a session of its own.

    Args:
        module: what is run, for example `training.run`.
        words: its arguments.
        scratch: a folder for its output.
        variables: environment variables beside this process's.
        limits: resource limits, by number.
        folder: what is called RUN in the lines that it prints.
    """

    def __init__(
        self,
        module: str,
        words: Sequence[str],
        scratch: Path,
        variables: dict[str, str] | None = None,
        limits: dict[int, int] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._folder = folder
        scratch.mkdir(parents=True, exist_ok=True)
        number = len(list(scratch.glob("*.out")))
        self._out, self._err = scratch / f"{number}.out", scratch / f"{number}.err"
        env = {**os.environ, "OMP_NUM_THREADS": "1", **(variables or {})}
        if "PYTHONPATH" in (variables or {}):
            # What is put in from outside is there from the interpreter's first moment.
            command = [sys.executable, "-m", module, *words]
            with self._out.open("w") as out, self._err.open("w") as err:
                self.process: subprocess.Popen[bytes] | Forked = subprocess.Popen(
                    command, cwd=REPOSITORY, env=env, stdout=out, stderr=err, start_new_session=True
                )
        else:
            self.process = Forked(module, words, self._out, self._err, env, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Kills it, if it still runs, with its process group.

        Raises:
            subprocess.TimeoutExpired: it is not gone then.
        """
        if self.process.poll() is None:
            # One that has only just been forked leads no group yet.
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait(PATIENCE)

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Waits for something, as long as the command runs; fails if it never happens."""
        limit = time.monotonic() + PATIENCE
        while not happened():
            assert self.process.poll() is None, f"it ended before {what}: {self.said()}"
            assert time.monotonic() < limit, f"never: {what}"
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if the command still runs."""
        self.process.send_signal(number)

    def children(self, name: str = "") -> list[psutil.Process]:
        """Its descendants whose command line has a word in it."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    found += [child] if name in " ".join(child.cmdline()) else []
        return found

    def strike(self, name: str, number: signal.Signals) -> set[int]:
        """Sends a signal to all such descendants and to theirs; those that it reached."""
        reached = set()
        for child in self.children(name):
            with suppress(psutil.NoSuchProcess):
                for each in (*child.children(recursive=True), child):
                    with suppress(psutil.NoSuchProcess):
                        each.send_signal(number)
                        reached.add(each.pid)
        return reached

    def end(self) -> int:
        """Waits for the end; the exit code.

        Raises:
            AssertionError: it does not end.
        """
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.close()
            raise AssertionError(f"it hangs: {self.said()}") from None

    def said(self) -> str:
        """All that it has printed."""
        return "".join(path.read_text() for path in (self._out, self._err) if path.exists())

    def line(self, part: str) -> str:
        """The last line with these words in what it printed."""
        found = [line for line in self.said().splitlines() if part in line]
        assert found, f"nothing with {part!r} in: {self.said()}"
        assert "Traceback" not in self.said(), self.said()
        line = found[-1].strip()
        return line.replace(str(self._folder), "RUN") if self._folder else line

    def nothing(self) -> str:
        """That word, if it has complained of nothing."""
        said = self._err.read_text()
        assert not said, said
        return "nothing"


class Training:
    """Short training runs of one configuration, and one of them that nothing disturbed.

    A context manager: at its end all commands that it started are killed that still run.

    Args:
        scratch: a folder for them.
        words: keys beside those of the short run.
        env: the world.
        kept: a folder for the model and the undisturbed run, which others of this configuration may share; by default
            the same.
        jobs: keeps its commands, where they belong to another one's; by default it has its own.
    """

    def __init__(
        self,
        scratch: Path,
        *words: str,
        env: str = "tests.training.guessing:Guess",
        kept: Path | None = None,
        jobs: ExitStack | None = None,
    ) -> None:
        self.scratch, self.kept, self.jobs = scratch, kept or scratch, jobs or ExitStack()
        scratch.mkdir(parents=True, exist_ok=True)
        quiet()
        model = self.kept / "model"
        if not model.exists():
            write_model(model, BLOCKS)
        self.words = [
            f"env={env}",
            f"model={model}",
            "model.max_reply_tokens=4",
            f"iterations={ITERATIONS}",
            "budget=100",
            "panel_tasks=8",
            "tuning_tasks=4",
            "train.groups=3",
            "train.group_size=4",
            "train.updates=2",
            "train.learning_rate=1e-2",
            "train.full_learning_rate=1e-3",
            *words,
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.jobs.close()

    def straight(self) -> Path:
        """The folder of the run that nothing disturbed."""
        folder = self.kept / "straight"
        if not (folder / SUMMARY).exists():
            # One that failed is no measure for the next.
            shutil.rmtree(folder, ignore_errors=True)
            job = self.began(Job("training.run", [*self.words, f"out={folder}"], self.kept / "straight-said"))
            assert job.end() == 0, job.said()
        return folder

    def start(
        self, folder: Path, *words: str, variables: dict[str, str] | None = None, limits: dict[int, int] | None = None
    ) -> Job:
        """Starts a run into a folder."""
        given = [*self.words, *words, f"out={folder}"]
        scratch = self.scratch / f"{folder.name}-said"
        return self.began(Job("training.run", given, scratch, variables, limits, folder))

    def resume(self, folder: Path) -> Job:
        """Goes on with a run."""
        scratch = self.scratch / f"{folder.name}-said"
        return self.began(Job("training.run", [f"resume={folder}"], scratch, folder=folder))

    def began(self, job: Job) -> Job:
        """Ends a command with everything else."""
        return self.jobs.enter_context(job)

    def finish(self, folder: Path) -> Job:
        """Goes on with a run to its end, which must be that of the undisturbed one."""
        job = self.resume(folder)
        assert job.end() == 0, job.said()
        same(self.straight(), folder)
        return job


def trained(folder: Path, arm: str = "layer", iterations: int = 1) -> bool:
    """Whether a run has written so many iterations of an arm."""
    return sum(row["arm"] == arm for row in Folder(folder).rows(METRICS)) >= iterations
