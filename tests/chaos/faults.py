"""Faults of the machine under a run: kills, clocks, disks, memory, Ctrl-C.

A fault is a function of a `Training` that provokes it, checks all that is promised and returns the line that the user
sees. To add one, write it with `@fault(...)` here or in a module that `tests.chaos.table` imports.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evals.folder import Folder
from tests.chaos.jobs import ITERATIONS, Job, Training, trained
from tests.chaos.rows import REPLAYED, fault
from tests.training.results import same
from training.folder import CONFIG, EPISODES, LOG, METRICS, STATE, SUMMARY


@fault("`kill -9` of the trainer", REPLAYED)
def trainer_killed(training: Training) -> str:
    folder = training.scratch / "killed"
    job = training.start(folder)
    job.until(lambda: trained(folder), "the first iteration is written")
    job.send(signal.SIGKILL)
    assert job.end() == -signal.SIGKILL
    assert not (folder / SUMMARY).exists()
    training.finish(folder)
    return "Killed (says the shell); `python -m training.run resume=RUN` goes on"


@fault("the last checkpoint's bytes change", "the iterations since the one before, which are played again")
def checkpoint_corrupted(training: Training) -> str:
    folder = training.scratch / "corrupted"
    job = training.start(folder)
    job.until(lambda: trained(folder, iterations=3), "three iterations are written")
    job.send(signal.SIGKILL)
    job.end()
    last = max((folder / "checkpoints/layer").glob("iteration-*.safetensors"))
    content = bytearray(last.read_bytes())
    content[-3] ^= 0x40
    last.write_bytes(content)
    return training.finish(folder).line("has changed since it was written")


@fault("a second run in the folder of one that runs", "nothing")
def two_runs(training: Training) -> str:
    folder = training.scratch / "shared"
    first = training.start(folder)
    first.until(lambda: (folder / STATE).exists(), "the first run is under way")
    # It holds the folder however long it takes.
    first.send(signal.SIGSTOP)
    second = training.resume(folder)
    assert second.end() == 2, second.said()
    first.send(signal.SIGCONT)
    said = second.line("error")
    assert first.end() == 0, first.said()
    same(training.straight(), folder)
    return said


@fault("the clock jumps by years, to and fro", "nothing")
def clock_jumps(training: Training) -> str:
    folder, side = training.scratch / "clock", training.scratch / "sitecustomize"
    side.mkdir(exist_ok=True)
    (side / "sitecustomize.py").write_text(
        "import random, time\n"
        "_time = time.time\n"
        "time.time = lambda: _time() + random.choice((-3e8, 0, 3e8))\n"
        "time.time_ns = lambda: int(time.time() * 1e9)\n"
    )
    job = training.start(folder, variables={"PYTHONPATH": f"{side}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"})
    assert job.end() == 0, job.said()
    same(training.straight(), folder)
    return job.line("report:")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """A disk of its own for a folder, where mounting is allowed; says whether it is."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "keystone-chaos", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@fault("the disk is full", REPLAYED)
def disk_full(training: Training) -> str:
    disk = training.scratch / "disk"
    with small_disk(disk, "200k") as mounted:
        folder = disk / "run"
        # Where nothing can be mounted, no file may grow beyond that.
        limits = None if mounted else {resource.RLIMIT_FSIZE: 40_000}
        job = training.start(folder, "reserve.disk=0", limits=limits)
        assert job.end() == 1, job.said()
        assert not (folder / SUMMARY).exists()
        whole(folder)
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        resumed = training.resume(folder)
        assert resumed.end() == 0, resumed.said()
        same(training.straight(), folder, but=CONFIG)
        return job.line("error: cannot write")


@fault("the disk is nearly full", REPLAYED)
def disk_nearly_full(training: Training) -> str:
    folder = training.scratch / "nearly"
    job = training.start(folder, f"reserve.disk={2**40}")
    assert job.end() == 1, job.said()
    whole(folder)
    return job.line("stopped: ")


@fault("the folder has become read-only", REPLAYED)
def read_only(training: Training) -> str:
    disk = training.scratch / "protected"
    with small_disk(disk, "64m") as mounted:
        folder = disk / "run"
        job = training.start(folder, "reserve.disk=0")
        job.until(lambda: trained(folder), "the first iteration is written")
        job.send(signal.SIGKILL)
        job.end()
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]

        def protect(how: str, mode: int) -> None:
            if mounted:
                subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)
            for path in [] if mounted else folders:
                path.chmod(mode)

        protect("ro", 0o500)
        refused = training.resume(folder)
        assert refused.end() == 1, refused.said()
        protect("rw", 0o700)
        whole(folder)
        resumed = training.resume(folder)
        assert resumed.end() == 0, resumed.said()
        same(training.straight(), folder, but=CONFIG)
        return refused.line("error: ")


def _write_levels(folder: Path) -> None:
    """Levels of Sokoban, a file a split: a row each in which a box is pushed to the right."""
    folder.mkdir()
    for start, split in enumerate(("train", "valid", "test")):
        rows = [f"#{' ' * (n % 3)}@{' ' * (n // 3)}${' ' * start}.#" for n in range(12)]
        levels = [f"{'#' * len(row)}\n{row}\n{'#' * len(row)}\n" for row in rows]
        (folder / f"tiny_{split}.txt").write_text("\n".join(levels))


@fault("the data folder vanishes", REPLAYED)
def data_vanished(training: Training) -> str:
    scratch = training.scratch / "vanished"
    levels, elsewhere, folder = scratch / "levels", scratch / "elsewhere", scratch / "run"
    scratch.mkdir()
    _write_levels(levels)
    words = (f"data={levels}", "env.max_turns=3", "layer=1", "compare=none")
    sokoban = Training(scratch, *words, env="sokoban")
    straight = sokoban.straight()
    job = sokoban.start(folder)
    job.until(lambda: trained(folder), "the first iteration is written")
    levels.rename(elsewhere)
    assert job.end() == 1, job.said()
    said = job.line("error: data=")
    assert not (folder / SUMMARY).exists()
    whole(folder)
    too_early = sokoban.resume(folder)
    assert too_early.end() == 2, too_early.said()
    assert str(levels) in too_early.line("error: ")
    elsewhere.rename(levels)
    sokoban.finish(folder)
    same(straight, folder)
    assert not any(row["errors"] for row in Folder(folder).rows(METRICS))
    return said


@fault("memory runs out (a limit on the address space)", REPLAYED)
def memory_exhausted(training: Training) -> str:
    folder = training.scratch / "memory"
    job = training.start(folder)
    job.until(lambda: trained(folder), "the first iteration is written")
    used = _address_space(job)
    resource.prlimit(job.process.pid, resource.RLIMIT_AS, (used, used))
    code = job.end()
    if code == 0:
        # All that it needed was there already.
        same(training.straight(), folder)
        return job.line("report:")
    training.finish(folder)
    if code == -signal.SIGABRT:
        # Met in a library written in Rust, which ends the process itself.
        return job.line("memory allocation of")
    assert code == 1, job.said()
    return job.line("error: out of memory")


def _address_space(job: Job) -> int:
    status = Path(f"/proc/{job.process.pid}/status").read_text()
    return int(status.partition("VmSize:")[2].split()[0]) * 1024


@fault("memory is nearly exhausted", REPLAYED)
def memory_nearly_exhausted(training: Training) -> str:
    folder = training.scratch / "scarce"
    job = training.start(folder, f"reserve.memory={2**40}")
    assert job.end() == 1, job.said()
    whole(folder)
    return job.line("stopped: ")


PHASES = {
    "the base policy's evaluation": "model:",
    "the choice of the layer": "base: panel",
    "the layer's training": "layer ",
    "the full policy's training": "layer: panel",
    "the comparison at equal cost": "full: panel",
}


def ctrl_c(training: Training, phase: str) -> str:
    """Presses Ctrl-C in a phase and goes on."""
    folder = training.scratch / f"stopped-{list(PHASES).index(phase)}"
    job = training.start(folder)
    log = folder / LOG
    job.until(lambda: log.is_file() and f"\n{PHASES[phase]}" in log.read_text(), phase)
    job.send(signal.SIGINT)
    assert job.end() in (0, 130), job.said()
    if (folder / SUMMARY).exists():
        same(training.straight(), folder)
        return job.line("report:")
    said = job.line("stopped. Go on with")
    training.finish(folder)
    return said


@fault("Ctrl-C, in every phase", REPLAYED)
def ctrl_c_everywhere(training: Training) -> str:
    said = [ctrl_c(training, phase) for phase in PHASES]
    return said[0]


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


def whole(folder: Path) -> None:
    """What a fault has left can be read to the last line that was finished."""
    files = Folder(folder)
    files.read_json(STATE)
    rows = list(files.rows(EPISODES))
    assert all({"task", "turns"} <= set(row) for row in rows)
    assert len(list(files.rows("metrics.jsonl"))) <= 2 * ITERATIONS
