"""Memory and disk are looked at, and too little of either asks the run to stop."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from envs.config import save
from envs.errors import InputError, StorageError
from evals import reserve, stopping
from evals.folder import Folder, write_json
from evals.reserve import ReserveConfig, free_memory
from evals.stopping import Stop, StoppedError
from tests.evals.claiming import claimed_elsewhere, is_free


def test_enough_is_no_word(tmp_path: Path):
    assert ReserveConfig().shortage(tmp_path) == ""
    assert ReserveConfig(memory=0, disk=0).shortage(tmp_path) == ""


def test_too_little_is_a_line(tmp_path: Path):
    assert "of memory are left, and reserve.memory=1099511627776" in ReserveConfig(memory=2**40).shortage(tmp_path)
    assert f"left on the disk of {tmp_path}" in ReserveConfig(disk=2**40).shortage(tmp_path)


def test_a_folder_that_is_gone_is_a_line_and_zero_does_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gone = tmp_path / "gone"
    with pytest.raises(StorageError, match=r"cannot write .*gone: No such file or directory"):
        Stop(lambda: ReserveConfig().shortage(gone)).check()
    assert ReserveConfig(disk=0).shortage(gone) == ""
    monkeypatch.setattr(reserve, "free_memory", lambda: 0)
    assert ReserveConfig(memory=0).shortage(tmp_path) == ""
    assert "of memory are left" in ReserveConfig().shortage(tmp_path)


def test_a_container_has_what_its_limit_leaves(tmp_path: Path):
    for name, content in (("memory.current", "900000"), ("memory.stat", "anon 1\ninactive_file 300000\n")):
        (tmp_path / name).write_text(content)
    (tmp_path / "memory.max").write_text("1000000\n")
    assert free_memory(tmp_path) == 400_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert free_memory(tmp_path / "nowhere") > 1_000_000


def test_a_shortage_asks_to_stop_and_is_looked_for_now_and_then(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    def shortage() -> str:
        asked.append(1)
        return "no room" if len(asked) == 2 else ""

    stop = Stop(shortage)
    stop.check()
    stop.check()
    assert len(asked) == 1
    monkeypatch.setattr(stopping, "EVERY", 0.0)
    with pytest.raises(StoppedError, match="no room"):
        stop.check()
    assert stop()
    assert (len(asked), stop.reason) == (2, "no room")


def test_one_process_writes_a_folder_and_opens_it_as_often_as_it_likes(tmp_path: Path):
    with claimed_elsewhere(tmp_path), pytest.raises(InputError, match="another process is writing"):
        Folder(tmp_path).claim()
    first, second = Folder(tmp_path), Folder(tmp_path)
    first.claim()
    second.claim()
    del first
    assert not is_free(tmp_path)
    del second
    assert is_free(tmp_path)


def test_what_cannot_be_written_is_one_line(tmp_path: Path):
    folder = Folder(tmp_path / "file" / "below")
    (tmp_path / "file").write_text("")
    for write in (
        lambda: folder.write_json("a.json", {}),
        lambda: folder.append("b.jsonl", [{}]),
        lambda: write_json(folder / "new" / "c.json", {}),
        lambda: save(ReserveConfig(), folder / "config.yaml"),
    ):
        with pytest.raises(StorageError, match=r"cannot write .*: Not a directory"):
            write()
