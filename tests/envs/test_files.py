"""Files that may be broken: what is read of them, and how much."""

from __future__ import annotations

import json
import math
import os
import re
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError, StorageError
from envs.files import check_empty, check_writable, expanded, is_folder, parse_json, read_text, writing

LONG = "a" * 300


@pytest.mark.parametrize("text", ["1e999", '{"a": -1e400}', f"[{'9' * 400}.0]", "Infinity", "-Infinity", "[NaN]"])
def test_no_number_of_json_is_infinite(text: str):
    with pytest.raises(InputError, match="the row is not valid JSON"):
        parse_json(text, "the row")


@given(st.recursive(st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_whatever_json_can_hold_is_read(value: object):
    assert parse_json(json.dumps(value), "the row") == value


@given(st.floats(1.0, 9.0), st.integers(-400, 400))
def test_numbers_are_finite_or_refused(mantissa: float, exponent: int):
    text = f"{mantissa!r}e{exponent}"
    if math.isinf(float(text)):
        with pytest.raises(InputError, match="too large a number"):
            parse_json(text, "the row")
    else:
        assert parse_json(text, "the row") == float(text)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 21) + 5])
def test_a_file_is_read_whole_or_refused(size: int, tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("x" * size)
    assert len(read_text(path)) == len(read_text(path, most=size)) == size
    if size:
        with pytest.raises(InputError, match=f"it has more than {size - 1:,} bytes"):
            read_text(path, most=size - 1)
    # Files of the system say that they are empty.
    assert read_text(Path("/proc/self/status")).startswith("Name:")


def test_a_small_file_takes_little_memory(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("{}")
    child = os.fork()
    if not child:
        code = 1
        try:
            held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (held + (100 << 20), resource.RLIM_INFINITY))
            code = read_text(path) != "{}"
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("{folder}", "out={folder} is a folder; a file is needed."),
        ("{folder}/nowhere/file", "out={folder}/nowhere/file: there is no folder {folder}/nowhere."),
    ],
)
def test_where_nothing_can_be_written(path: str, line: str, tmp_path: Path):
    with pytest.raises(InputError, match=re.escape(line.format(folder=tmp_path))):
        check_writable(Path(path.format(folder=tmp_path)), "out")


def test_what_is_another_users_cannot_be_written():
    child = os.fork()
    if not child:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            check_writable(Path("/usr/figures.json"), "out")
        except InputError as error:
            code = str(error) != "out=/usr/figures.json cannot be written: it is read-only, or not yours."
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_where_a_file_can_be_written(tmp_path: Path):
    check_writable(tmp_path / "file", "out")
    (tmp_path / "file").touch()
    check_writable(tmp_path / "file", "out")
    check_writable(Path("/dev/null"), "out")


def test_what_the_system_says_against_writing_is_one_line(tmp_path: Path):
    with pytest.raises(StorageError, match=r"cannot write .*x: No such file or directory\."), writing(tmp_path / "x"):
        (tmp_path / "nowhere" / "x").touch()


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
    with pytest.raises(InputError, match=r"^out= [^\n]* cannot be the name of a file") as refusal:
        check_empty(tmp_path / name)
    assert len(str(refusal.value)) < 300


def test_a_name_that_is_free_is_taken(tmp_path: Path):
    check_empty(tmp_path / "new" / "folder")
