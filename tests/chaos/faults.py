"""Faults of the machine under a run: clocks, disks, memory, a second run.

A fault is a function of a `Training` that provokes it, checks all that is promised and returns the line that the user
sees. To add one, write it with `@fault(...)` here or in a module that `tests.chaos.table` imports, and the row in the
README.
"""

from __future__ import annotations

import errno
import os
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
from training.folder import CONFIG, EPISODES, METRICS, STATE, SUMMARY

GO_ON = "What was written before is whole; go on with: python -m training.run resume=RUN"


@fault(
    "the last checkpoint's bytes change",
    "the checkpoint RUN/checkpoints/layer/iteration-00003.safetensors has changed since it was written. The one before "
    "is used, or the arm begins again.",
    "the iterations since the one before, which are played again",
)
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


@fault(
    "a second run in the folder of one that runs",
    "error: another process is writing RUN. Wait until it has ended, or choose another folder.",
    "nothing",
)
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


@fault("the clock jumps by years, to and fro", "nothing", "nothing")
def clock_jumps(training: Training) -> str:
    folder, side = training.scratch / "clock", training.scratch / "sitecustomize"
    side.mkdir()
    (side / "sitecustomize.py").write_text(
        "import random, time\n"
        "_time = time.time\n"
        "time.time = lambda: _time() + random.choice((-3e8, 0, 3e8))\n"
        "time.time_ns = lambda: int(time.time() * 1e9)\n"
    )
    job = training.start(folder, variables={"PYTHONPATH": f"{side}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"})
    assert job.end() == 0, job.said()
    same(training.straight(), folder)
    return job.nothing()


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


@fault(
    "the disk is full",
    f"error: cannot write the checkpoint RUN/checkpoints/...: No space left on device (os error 28). {GO_ON}",
    REPLAYED,
)
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
        # The limit's reason stands for the disk's.
        return job.line("error: cannot write").replace(os.strerror(errno.EFBIG), os.strerror(errno.ENOSPC))


@fault(
    "the disk is nearly full",
    "stopped: N MiB are left on the disk of RUN, and reserve.disk=256 are kept free. Go on with: python -m "
    "training.run resume=RUN",
    REPLAYED,
)
def disk_nearly_full(training: Training) -> str:
    folder = training.scratch / "nearly"
    job = training.start(folder, f"reserve.disk={2**40}")
    assert job.end() == 1, job.said()
    whole(folder)
    return job.line("stopped: ")


@fault(
    "the folder has become read-only",
    f"error: cannot write RUN/layers.json: Read-only file system. {GO_ON}",
    REPLAYED,
)
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
        return refused.line("error: ").replace(os.strerror(errno.EACCES), os.strerror(errno.EROFS))


def _write_levels(folder: Path) -> None:
    """Levels of Sokoban, a file a split: a row each in which a box is pushed to the right."""
    folder.mkdir()
    for start, split in enumerate(("train", "valid", "test")):
        rows = [f"#{' ' * (n % 3)}@{' ' * (n // 3)}${' ' * start}.#" for n in range(12)]
        levels = [f"{'#' * len(row)}\n{row}\n{'#' * len(row)}\n" for row in rows]
        (folder / f"tiny_{split}.txt").write_text("\n".join(levels))


@fault(
    "the data folder vanishes",
    "error: data=DATA is gone (there is no file or folder of levels at 'DATA'). What was written before is whole; once "
    "it is back, go on with: python -m training.run resume=RUN",
    REPLAYED,
)
def data_vanished(training: Training) -> str:
    scratch = training.scratch / "vanished"
    levels, elsewhere, folder = scratch / "levels", scratch / "elsewhere", scratch / "run"
    scratch.mkdir()
    _write_levels(levels)
    words = (f"data={levels}", "env.max_turns=3", "layer=1", "compare=none")
    sokoban = Training(scratch, *words, env="sokoban", jobs=training.jobs)
    straight = sokoban.straight()
    job = sokoban.start(folder)
    job.until(lambda: trained(folder), "the first iteration is written")
    levels.rename(elsewhere)
    assert job.end() == 1, job.said()
    said = job.line("error: data=").replace(str(levels), "DATA")
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


_LESS_MEMORY = 8 * 2**20


@fault(
    "memory runs out (a limit on the address space)",
    "error: out of memory (...). A smaller train.micro_batch_tokens= or train.groups= needs less. "
    f"{GO_ON} or: memory allocation of N bytes failed",
    REPLAYED,
)
def memory_exhausted(training: Training) -> str:
    folder = training.scratch / "memory"
    job = training.start(folder)
    job.until(lambda: trained(folder), "the first iteration is written")
    # Less than it has: whatever it asks for next is refused.
    most = _address_space(job) - _LESS_MEMORY
    resource.prlimit(job.process.pid, resource.RLIMIT_AS, (most, most))
    code = job.end()
    assert code != 0, f"it needed nothing more: {job.said()}"
    training.finish(folder)
    if code == -signal.SIGABRT:
        # Met in a library written in Rust, which ends the process itself.
        return job.line("memory allocation of")
    assert code == 1, job.said()
    return job.line("error: out of memory")


def _address_space(job: Job) -> int:
    status = Path(f"/proc/{job.process.pid}/status").read_text()
    return int(status.partition("VmSize:")[2].split()[0]) * 1024


@fault(
    "memory is nearly exhausted",
    "stopped: N MiB of memory are left, and reserve.memory=256 are kept free. Go on with: python -m training.run "
    "resume=RUN",
    REPLAYED,
)
def memory_nearly_exhausted(training: Training) -> str:
    folder = training.scratch / "scarce"
    job = training.start(folder, f"reserve.memory={2**40}")
    assert job.end() == 1, job.said()
    whole(folder)
    return job.line("stopped: ")


def whole(folder: Path) -> None:
    """What a fault has left can be read to the last line that was finished."""
    files = Folder(folder)
    files.read_json(STATE)
    rows = list(files.rows(EPISODES))
    assert all({"task", "turns"} <= set(row) for row in rows)
    assert len(list(files.rows("metrics.jsonl"))) <= 2 * ITERATIONS
