"""The run folder: one run each, whole files, and line files that survive a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from training.folder import CONFIG, LOG, METRICS, RunFolder


def test_a_new_folder_is_made(tmp_path: Path):
    folder = RunFolder.create(tmp_path / "runs" / "first")
    assert [path.name for path in folder.path.iterdir()] == [LOG]
    assert folder / METRICS == tmp_path / "runs" / "first" / METRICS


def refused(path: Path) -> str:
    before = sorted(path.rglob("*")) if path.is_dir() else path.read_text()
    with pytest.raises(InputError) as refusal:
        RunFolder.create(path)
    assert (sorted(path.rglob("*")) if path.is_dir() else path.read_text()) == before
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_another_run_is_refused_and_can_be_resumed(tmp_path: Path):
    (tmp_path / CONFIG).write_text("seed: 1\n")
    assert f"already holds another run. Choose an empty or new folder, or resume={tmp_path}" in refused(tmp_path)
    assert RunFolder.open(tmp_path).path == tmp_path


def test_other_files_are_refused(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("all of it")
    line = refused(tmp_path)
    assert "already holds other files" in line
    assert "resume=" not in line


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "file").write_text("words")
    assert "is a file" in refused(tmp_path / "file")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("words")
    with pytest.raises(InputError, match="file is a file; a folder is needed"):
        RunFolder.check(tmp_path / "file" / "below" / "that")


def test_a_folder_that_may_not_be_written_is_refused_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A user who is root may write anywhere, whatever the folder says.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path or not mode & os.W_OK)
    with pytest.raises(InputError, match="is read-only, or not yours"):
        RunFolder.check(tmp_path / "new" / "run")
    RunFolder.check(tmp_path.parent / "new")


def test_only_a_run_can_be_opened(tmp_path: Path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"no run there \(it has no config\.yaml\)"):
            RunFolder.open(path)
    assert list(tmp_path.iterdir()) == []


def test_whole_files_replace_whole_files(tmp_path: Path):
    folder = RunFolder(tmp_path)
    assert folder.read_json("x.json") is None
    folder.write_json("x.json", {"b": 1, "a": [None, "é"]})
    folder.write_json("x.json", {"b": 2})
    assert folder.read_json("x.json") == {"b": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    with pytest.raises(ValueError, match="JSON"):
        folder.write_json("x.json", float("nan"))
    assert folder.read_json("x.json") == {"b": 2}


rows = st.lists(st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none(), max_size=3), max_size=5)


@pytest.mark.fault
@settings(max_examples=50, deadline=None)
@given(rows, rows, st.data())
def test_a_line_cut_off_by_a_kill_ends_the_file_and_can_be_swept_away(
    tmp_path_factory: pytest.TempPathFactory, first: list[dict], second: list[dict], data: st.DataObject
):
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    folder.append(METRICS, first)
    assert list(folder.rows(METRICS)) == first
    whole = (folder / METRICS).read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    (folder / METRICS).write_bytes(whole[:cut])
    kept = list(folder.rows(METRICS))
    assert kept == first[: len(kept)]
    assert len(kept) >= whole[:cut].count(b"\n")
    folder.keep(METRICS, lambda row: True)
    folder.append(METRICS, second)
    assert list(folder.rows(METRICS)) == kept + second


def test_keep_drops_what_is_not_wanted(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.append(METRICS, [{"arm": arm, "iteration": number} for arm in ("layer", "full") for number in range(3)])
    folder.keep(METRICS, lambda row: row["arm"] != "full" or row["iteration"] < 1)
    lines = (folder / METRICS).read_text().splitlines()
    assert [(json.loads(line)["arm"], json.loads(line)["iteration"]) for line in lines] == [
        ("layer", 0),
        ("layer", 1),
        ("layer", 2),
        ("full", 0),
    ]


def test_a_file_that_is_not_there_has_no_rows(tmp_path: Path):
    assert list(RunFolder(tmp_path).rows(METRICS)) == []
