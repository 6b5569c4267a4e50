"""show, export, build, serve and check through the real command line."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pytest

from envs.command import run_actions
from envs.installation import REPOSITORY
from evals.leaderboard.__main__ import ACTIONS, PROGRAM
from evals.leaderboard.database import Database
from tests.evals.leaderboard.made import entry

HOSTILE = '<script>alert(1)</script> | **x** "=1"'


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "leaderboard.sqlite"
    with Database(path) as database:
        database.add(entry("good", [1] * 60))
        database.add(entry("as good", [1] * 58 + [0] * 2))
        database.add(entry(HOSTILE, [1] * 10 + [0] * 50, training=None))
    return path


def call(*words: str) -> int:
    return run_actions(PROGRAM, ACTIONS, description="", argv=words)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert call(*words) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert call(*words) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.count("\n") == 1
    return found.err


class Cells(HTMLParser):
    """The cells of every table row of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data


def test_show_says_places_intervals_and_what_training_took(capsys: pytest.CaptureFixture[str]):
    for words in (["show", "entries=own"], ["entries=own"]):
        lines = [line.split() for line in said(capsys, *words).splitlines()]
        (good,) = (line for line in lines if "good" in line and "as" not in line)
        assert good == [
            "1\N{EN DASH}2",
            "good",
            "*",
            "100.0",
            "(94.0\N{EN DASH}100.0)",
            "11.2",
            "0.59",
            "0.80",
            "0.32",
            "0.32",
        ]
    places = [line[0] for line in lines if line and line[0][0].isdecimal()]
    assert places == ["1\N{EN DASH}2", "1\N{EN DASH}2", "3"]
    assert "A range is a tie; ties are not transitive." in " ".join(" ".join(line) for line in lines)


def test_without_any_entry_it_says_what_to_do(capsys: pytest.CaptureFixture[str], board: Path):
    board.unlink()
    assert "no entries yet" in said(capsys, "show", "entries=own")
    assert not board.exists()


def test_a_fresh_clone_shows_the_committed_entries(capsys: pytest.CaptureFixture[str], board: Path):
    board.unlink()
    shown = said(capsys, "show")
    assert "alfworld_generated_unseen: 300 tasks" in shown
    assert "yours" not in shown
    assert "good" not in shown


def test_export_markdown_keeps_names_from_being_read_as_markup(capsys: pytest.CaptureFixture[str]):
    made = said(capsys, "export", "entries=own")
    (row,) = (line for line in made.splitlines() if "script" in line)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\*\\*x\\*\\*" in row
    assert row.replace("\\|", "").count("|") == 12
    assert "| 1 to 2 | good \\* | 100.0 (94.0 to 100.0) |" in made


def test_a_page_of_something_else_is_not_written_over(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    page = tmp_path / "mine" / "index.html"
    page.parent.mkdir()
    page.write_text("my home page")
    assert "is a page of something else, which would be lost" in refused(capsys, "build", "out=mine")
    assert page.read_text() == "my home page"
    page.unlink()
    for _ in range(2):
        said(capsys, "build", "out=mine", "entries=own")


def test_export_csv(capsys: pytest.CaptureFixture[str], board: Path):
    with Database(board) as database:
        hardware = {"processor": "=HYPERLINK(1)", "cores": 2, "threads": 1, "gpu": None}
        database.add(entry("=1+1", [0] * 60, cost={"seconds": 3.5, "date": "2026-11-22", "hardware": hardware}))
    rows = list(csv.DictReader(io.StringIO(said(capsys, "export", "format=csv", "entries=own"))))
    assert [row["name"] for row in rows] == ["good", "as good", HOSTILE, "'=1+1"]
    assert [float(row["success"]) for row in rows] == pytest.approx([1, 58 / 60, 10 / 60, 0])
    columns = ("place", "last_place", "tied", "yours", "sync_bytes")
    assert [rows[0][name] for name in columns] == ["1", "2", "True", "True", "320512"]
    assert rows[2]["sync_bytes"] == rows[0]["processor"] == ""
    assert [rows[3][name] for name in ("processor", "cores", "threads", "gpu")] == ["'=HYPERLINK(1)", "2", "1", ""]


def test_export_json_holds_the_entries_whole(capsys: pytest.CaptureFixture[str]):
    found = json.loads(said(capsys, "export", "format=json", "entries=own"))
    assert found[0]["entry"] == entry("good", [1] * 60)
    assert [(each["place"], each["last_place"], each["tied"]) for each in found] == [
        (1, 2, True),
        (1, 2, True),
        (3, 3, False),
    ]
    assert said(capsys, "export", "format=json", "entries=own", "out=all.json") == "all.json: 3 entries\n"
    assert json.loads(Path("all.json").read_text()) == found


def test_build_writes_a_page_with_real_tables(capsys: pytest.CaptureFixture[str]):
    assert said(capsys, "build", "out=site") == "site/index.html\n"
    page = Path("site/index.html").read_text(encoding="utf-8")
    found = Cells(page)
    assert "table" in found.tags
    assert "<script>alert(1)" not in page
    names = [cell for row in found.rows for cell in row]
    for name in ("good", HOSTILE, "expert"):
        assert any(name in cell for cell in names)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["show", "panel=alfworld_generated_unsen"], "Did you mean 'alfworld_generated_unseen'?"),
        (["show", "entries=mine"], "entries must be one of all, committed, own"),
        (["show", "db=absent.sqlite"], "db=absent.sqlite: no such file"),
        (["export", "format=html"], "format must be one of markdown, csv, json"),
        (["export", "out=no/such/folder.md"], "cannot be written"),
        (["build"], "out= is needed"),
        (["build", "out=leaderboard.sqlite"], "is a file; a folder is needed"),
        (["check", "db=absent.sqlite"], "no such file"),
        (["serve", "port=70000"], "port must be a whole number from 0 to 65,535"),
        (["sevre"], "Did you mean 'serve'?"),
        (["show", "somewhere"], "expected key=value, got 'somewhere'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]):
    assert line in refused(capsys, *words)


@pytest.mark.parametrize("action", list(ACTIONS))
def test_every_action_explains_itself(action: str, capsys: pytest.CaptureFixture[str]):
    shown = said(capsys, action, "--help")
    assert shown.startswith(f"usage: python -m evals.leaderboard {action} ")
    assert "db=" in shown
    assert action in said(capsys, "--help")


def test_check(capsys: pytest.CaptureFixture[str], board: Path):
    assert said(capsys, "check") == "leaderboard.sqlite: whole, schema 2, 3 entries\n"
    board.write_bytes(board.read_bytes()[:-2048])
    assert call("check") in (1, 2)
    found = "".join(capsys.readouterr())
    assert any(word in found for word in ("damaged", "malformed", "missing", "invalid"))


def test_serve_shows_the_page_and_ends_cleanly(tmp_path: Path):
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-m", "evals.leaderboard", "serve", "port=0"]
    for number in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            address = server.stdout.readline().split()[0]
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address, timeout=30) as answer:
                assert "as good" in answer.read().decode()
            server.send_signal(number)
            out, errors = server.communicate(timeout=60)
        assert (out, errors, server.returncode) == ("ended.\n", "", 0)
        assert not list((tmp_path / "scratch").glob("keystone-leaderboard-*"))


def test_a_port_in_use_is_said_in_one_line(capsys: pytest.CaptureFixture[str]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port={port} cannot be used (Address already in use)" in refused(capsys, "serve", f"port={port}")
