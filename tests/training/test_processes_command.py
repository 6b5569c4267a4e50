"""`training.run` on two processes, as users launch it: the run of one process, stopped in one of them and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agents import deltas
from envs.command import run_command
from envs.installation import REPOSITORY
from tests.training.guessing import write_model
from training.config import RunConfig
from training.folder import DELTA, EPISODES, LAYERS, METRICS, SUMMARY
from training.run import main

pytestmark = pytest.mark.timeout(600)
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--main_process_port", "0"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
# Begun without DeepSpeed; from its checkpoint on with it, where it is installed.
FIRST = [*ACCELERATE, "--multi_gpu", "-m"]
SECOND = [*ACCELERATE, "--use_deepspeed", "--zero_stage", "2", "-m"] if find_spec("deepspeed") else TORCHRUN
# Every process says who it is; of those that may not write, whatever they write below the folder is noted.
WATCH = """
import os, sys
rank, notes, folder = os.environ.get("RANK", ""), os.environ["NOTES"], os.environ["WATCHED"]
def watch(event, arguments):
    if rank == "1" and event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        written = event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if written and str(arguments[0]).startswith(folder):
            with open(notes + "/written", "a") as file:
                file.write(f"{event} {arguments}\\n")
if rank:
    with open(notes + "/pid." + rank, "w") as file:
        file.write(str(os.getpid()))
    sys.addaudithook(watch)
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return [
        "env=tests.training.guessing:Guess",
        f"model={write_model(tmp_path / 'model', 3)}",
        "model.max_reply_tokens=4",
        "layer=norm",
        "iterations=3",
        "panel_tasks=16",
        "tuning_tasks=4",
        "train.groups=3",
        "train.group_size=4",
        "train.updates=2",
        "train.learning_rate=1e-2",
        "train.full_learning_rate=1e-3",
        "train.beta=0.01",
        "device=cpu",
    ]


def start(launcher: list[str], words: list[str], notes: Path, folder: Path) -> subprocess.Popen[str]:
    """Starts a run that is watched."""
    notes.mkdir(exist_ok=True)
    (notes / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    changes = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(notes), "NOTES": str(notes), "WATCHED": str(folder)}
    return subprocess.Popen(
        [*launcher, "training.run", *words],
        cwd=REPOSITORY,
        env=os.environ | changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str], seconds: int = 300) -> tuple[str, str]:
    """What it printed; it is killed if it does not end."""
    try:
        return process.communicate(timeout=seconds)
    finally:
        process.kill()


def stop_second(run: subprocess.Popen[str], notes: Path, folder: Path) -> None:
    """Asks the second process, and only that, to stop once the first iteration is over."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (folder / METRICS).is_file():
        assert run.poll() is None, end(run)
        time.sleep(0.02)
    os.kill(int((notes / "pid.1").read_text()), signal.SIGINT)


def flat(content: Any, name: str = "") -> dict[str, Any]:
    """Nested JSON by path, without what is measured, and without the hash of weights that are equal within rounding."""
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping):
        return {name: content}
    kept = {key: value for key, value in content.items() if key not in ("cost", "delta_sha256")}
    return {path: value for key in kept for path, value in flat(kept[key], f"{name}/{key}").items()}


def same(one: Any, other: Any) -> None:
    """What equal runs must agree on: all but cost, numbers within rounding."""
    ours, theirs = flat(one), flat(other)
    numbers = {name for name, value in theirs.items() if isinstance(value, float)}
    assert {name: ours[name] for name in numbers} == pytest.approx(
        {name: theirs[name] for name in numbers}, rel=1e-3, abs=1e-5
    )
    assert [pair for pair in ours.items() if pair[0] not in numbers] == [
        pair for pair in theirs.items() if pair[0] not in numbers
    ]


def test_two_processes_make_the_run_of_one(tmp_path: Path, words: list[str]):
    alone, folder, notes = tmp_path / "alone", tmp_path / "together", tmp_path / "notes"
    assert run_command("run", RunConfig, main, description="", argv=[*words, f"out={alone}"]) == 0

    first = start(FIRST, [*words, f"out={folder}"], notes, folder)
    stop_second(first, notes, folder)
    stdout, stderr = end(first)
    assert first.returncode != 0
    assert stdout.count("stopped. Go on with: python -m training.run resume=") == 1, stderr
    assert not (folder / SUMMARY).exists()

    second = start(SECOND, [f"resume={folder}"], notes, folder)
    stdout, stderr = end(second)
    assert second.returncode == 0, stderr
    assert stdout.count("run folder:") == stdout.count("report: ") == 1
    assert not (notes / "written").exists(), (notes / "written").read_text()

    names = {path.name for path in alone.iterdir()}
    assert {path.name for path in folder.iterdir()} == names
    episodes = [[flat(json.loads(line)) for line in (path / EPISODES).open()] for path in (folder, alone)]
    assert episodes[0] == episodes[1]
    for name in (SUMMARY, LAYERS):
        same(*(json.loads((path / name).read_text()) for path in (folder, alone)))
    rows = [[json.loads(line) for line in (path / METRICS).read_text().splitlines()] for path in (folder, alone)]
    assert len(rows[0]) == len(rows[1]) == 6
    same(*rows)
    tensors = [deltas.load(path / DELTA)[0] for path in (folder, alone)]
    assert tensors[0].keys() == tensors[1].keys()
    for name, value in tensors[0].items():
        # A hundredth of an update's step.
        assert float((value - tensors[1][name]).abs().max()) < 1e-4, name


def test_a_deepspeed_stage_that_there_is_not_is_refused_before_anything_is_loaded(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    argv = [*words, f"out={tmp_path / 'run'}"]
    assert run_command("run", RunConfig, main, description="", argv=argv) == 2
    said = capsys.readouterr().err
    assert said.startswith(("error: ZeRO stage 3:", "error: DeepSpeed is not installed"))
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
