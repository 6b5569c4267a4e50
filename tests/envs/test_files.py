"""Names of files and folders that people type."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.errors import InputError
from envs.files import check_empty, check_name, expanded, is_folder

LONG = "a" * 300


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "there").mkdir()
    return tmp_path


def test_a_persons_folder_and_that_of_nobody(home: Path):
    assert expanded("~/there") == home / "there"
    assert is_folder("~/there")
    assert is_folder(home)
    assert expanded("~nosuchuser/x") == Path("~nosuchuser/x")
    assert not is_folder("~nosuchuser/x")


@pytest.mark.parametrize("name", [LONG, f"{LONG}/x", "a\0b", "/proc/self/nothing/x", f"{__file__}/x"])
def test_what_can_be_no_folder_is_none(name: str):
    assert not is_folder(name)


@pytest.mark.parametrize("name", [LONG, f"x/{LONG}/y", "a\0b"])
def test_a_name_that_the_system_refuses_is_one_line(name: str, tmp_path: Path):
    (tmp_path / "x").mkdir()
    for check in (check_name, check_empty):
        with pytest.raises(InputError, match=r"^out=[^\n]* cannot be used: [^\n]*\.$") as refusal:
            check(tmp_path / name)
        assert len(str(refusal.value)) < 300


def test_a_name_that_is_free_is_taken(tmp_path: Path):
    check_name(tmp_path / "new" / "folder")
    check_empty(tmp_path / "new" / "folder")
