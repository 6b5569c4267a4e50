"""Trackers: their own readers find what metrics.jsonl says, also after a resume, and nothing leaves the machine."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.errors import InputError
from envs.installation import REPOSITORY
from tests.calling import call, environment, offline
from tests.training.events import needs, read_events, told
from tests.training.guessing import write_model
from training import trackers
from training.folder import METRICS, RunFolder
from training.trackers import Arm, Trackers, figures

LOCAL = """
def local(self, *arguments):
    return Connect(self, *arguments) if self.family == socket.AF_UNIX else refuse(*arguments)
Connect, Socket.connect = Socket.__bases__[0].connect, local
"""
pytestmark = pytest.mark.timeout(600)


def rows(folder: Path, arm: str) -> list[dict[str, Any]]:
    return [row for row in RunFolder(folder).rows(METRICS) if row["arm"] == arm]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """A finished run with whatever tracker is installed, made with no network, and its words."""
    folder = tmp_path_factory.mktemp("tracked")
    chosen = ",".join(name for name in ("wandb", "trackio") if importlib.util.find_spec(name))
    words = [
        *("env=tests.training.guessing:Guess", f"model={write_model(folder / 'model', 3)}", "model.max_reply_tokens=4"),
        *("layer=1", "iterations=2", "panel_tasks=4", "tuning_tasks=2", "temperatures=[1]", f"trackers={chosen}"),
        *("train.groups=2", "train.group_size=4", "train.updates=2", "train.learning_rate=1e-2"),
    ]
    variables = offline(folder / "offline")
    # wandb talks through a file to a service of its own on this machine.
    guard = folder / "offline" / "sitecustomize.py"
    guard.write_text(guard.read_text() + LOCAL)
    variables |= {"TRACKIO_DIR": str(folder / "trackio"), "HOME": str(folder)}
    done = call("training.run", *words, f"out={folder / 'run'}", **variables)
    assert done.returncode == 0, done.stderr
    assert not Path(variables["ATTEMPTS"]).exists(), Path(variables["ATTEMPTS"]).read_text()
    yield folder / "run", words
    shutil.rmtree(folder)


def test_tensorboard_reads_what_metrics_jsonl_says(run: tuple[Path, list[str]]):
    folder, _ = run
    for arm in ("layer", "full"):
        expected = [(row["iteration"], told(row)) for row in rows(folder, arm)]
        assert len(expected) == 2
        assert {"success", "loss", "entropy", "cost/seconds"} <= set(expected[0][1])
        assert read_events(folder / "tensorboard" / arm) == expected


def test_what_a_resumed_run_writes_again_is_there_once(tmp_path: Path):
    values = [{"iteration": step, "success": step / 8, "cost": {"seconds": 1.0 + step}} for step in range(5)]

    def log(start: int, end: int, *, again: bool) -> None:
        made = Trackers(["tensorboard"], Arm(tmp_path, "layer", start, again, {}))
        for row in values[start:end]:
            made.log(row)
        made.close()

    log(0, 4, again=False)
    # A kill cuts what was written last.
    (file,) = (tmp_path / "tensorboard" / "layer").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    log(2, 3, again=True)
    log(0, 5, again=True)
    log(3, 5, again=True)
    assert read_events(tmp_path / "tensorboard" / "layer") == [(row["iteration"], told(row)) for row in values]


def read_history(file: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The figures in W&B's own file: protocol buffers in LevelDB's log format behind 7 bytes of its own."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, part = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        size, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        part += content[at + 7 : at + 7 + size]
        at += 7 + size
        # Whole, or the last part.
        if kind in (1, 4):
            record, part = Record.FromString(part), b""
            if record.HasField("history"):
                items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                yield record.history.step.num, {name: items[name] for name in items if not name.startswith("_")}


def test_wandb_keeps_the_run_offline(run: tuple[Path, list[str]]):
    needs("wandb")
    folder, _ = run
    for arm in ("layer", "full"):
        name = (folder / "wandb" / f"{arm}.id").read_text()
        (file,) = (folder / "wandb").glob(f"offline-run-*-{name}/*.wandb")
        found = list(read_history(file))
        assert found == [(row["iteration"], figures(row)) for row in rows(folder, arm)]


READ_TRACKIO = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage
print(json.dumps(SQLiteStorage.get_logs("keystone", sys.argv[1])))
"""


def test_trackio_keeps_the_run_on_this_machine(run: tuple[Path, list[str]]):
    needs("trackio")
    folder, _ = run
    # In a process of its own: the package asks for its folder once, when it is imported.
    where = os.environ | {"TRACKIO_DIR": str(folder.parent / "trackio")}
    for arm in ("layer", "full"):
        command = [sys.executable, "-c", READ_TRACKIO, f"{folder.name}-{arm}"]
        logs = json.loads(subprocess.run(command, env=where, capture_output=True, check=True).stdout)
        assert [(log["step"], log["success"], log["cost/seconds"]) for log in logs] == [
            (row["iteration"], row["success"], row["cost"]["seconds"]) for row in rows(folder, arm)
        ]


def test_trackio_is_told_once(tmp_path: Path):
    needs("trackio")
    code = """
import sys
from pathlib import Path
from training.trackers import Arm, Trackers
mine, other = Path(sys.argv[1]), Path(sys.argv[1]).parent / "elsewhere" / "run"
# Another folder's run of the same name comes between.
for folder, start, end, again in ((mine, 0, 3, False), (other, 0, 5, False), (mine, 1, 4, True)):
    made = Trackers(["trackio"], Arm(folder, "layer", start, again, {}))
    for step in range(start, end):
        made.log({"iteration": step, "success": step / 8})
    made.close()
from trackio.sqlite_storage import SQLiteStorage
logs = SQLiteStorage.get_logs("keystone", f"{Path(sys.argv[1]).name}-layer")
print([(log["step"], log["success"]) for log in logs])
print(len(SQLiteStorage.get_logs("keystone", (other / "trackio" / "layer.name").read_text())))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        cwd=REPOSITORY,
        env=environment(TRACKIO_DIR=str(tmp_path / "kept")),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[(0, 0.0), (1, 0.125), (2, 0.25), (3, 0.375)]\n5\n"


def test_an_unknown_tracker_and_a_missing_package_are_one_line(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"unknown tracker 'wandbb'. Did you mean 'wandb'\?"):
        trackers.chosen("wandbb")
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None if name == "wandb" else object())
    with pytest.raises(InputError, match=r"trackers=wandb needs wandb: pip install 'keystone-rl\[wandb\]'"):
        trackers.chosen("trackio, wandb")
    assert trackers.chosen("") == ("tensorboard",)
    assert trackers.chosen("trackio,trackio") == ("tensorboard", "trackio")
