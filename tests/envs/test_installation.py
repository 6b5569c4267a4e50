"""What this installation hands to other processes and puts into files."""

import subprocess
import sys
from pathlib import Path

import pytest

import envs
from envs.cache import write_aside
from envs.files import replace
from envs.installation import python_path


def test_another_python_started_elsewhere_finds_the_same_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "own_world.py").write_text("")
    monkeypatch.chdir(home)
    # As in an interactive Python: the present folder, whichever that is.
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    code = "import envs, own_world; print(own_world.__file__); print(envs.__file__)"
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env={"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert told.splitlines() == [str(home / "own_world.py"), envs.__file__]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "a.json"
    replace(path, b"1")
    replace(path, b"2")
    assert path.read_bytes() == b"2"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace(tmp_path / "folder", b"3")
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "none" / "a.json", b"3")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", "folder"]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    write_aside(tmp_path / "file" / "a", b"1")
    write_aside(tmp_path / "new" / "a", b"1")
    assert (tmp_path / "new" / "a").read_bytes() == b"1"
