"""The episodes that come with Keystone: of committed entries, won as these say, and of no data set."""

from __future__ import annotations

import json
import lzma
from collections import Counter
from pathlib import Path

import pytest

from envs.command import run_actions
from envs.errors import InputError
from evals.leaderboard import committed, kept
from evals.leaderboard.__main__ import ACTIONS, PROGRAM
from evals.leaderboard.entries import key_of
from evals.site.packing import read_rows
from tests.evals.leaderboard.made import entry

KEPT = sorted((committed.FOLDER / "episodes").iterdir())


def test_there_are_some():
    entries = [committed.read(path) for path in committed.FOLDER.glob("*.json") if kept.episodes_of(path).is_file()]
    assert {entry["kind"] for entry in entries} >= {"random", "expert", "oracle", "base", "layer", "lora", "full"}


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.name.removesuffix(kept.SUFFIX))
def test_they_are_those_of_an_entry(file: Path):
    of = committed.read(committed.FOLDER / f"{file.name.removesuffix(kept.SUFFIX)}.json")
    assert kept.files()[key_of(of)] == file
    assert of["options"].get("data") in (None, "", "generated")
    rows = list(read_rows(file))
    assert len(rows) == of["score"]["episodes"]
    assert [row["won"] for row in rows] == list(map(bool, of["outcomes"]))
    assert len({row["task"] for row in rows}) == of["panel"]["tasks"]
    assert {row["temperature"] for row in rows} == {of["sampling"]["temperature"]}
    assert sum(len(row["turns"]) for row in rows) / len(rows) == pytest.approx(of["score"]["mean_turns"])
    assert Counter(name for row in rows for name in row)["cost"] == 0


def test_what_needs_data_keeps_none():
    assert kept.may_keep(entry("made here", [1]))
    assert kept.may_keep(entry("made here", [1], options={}))
    assert not kept.may_keep(entry("of a data set", [1], options={"data": "PATH"}))


def test_packing_and_reading(tmp_path: Path):
    rows = [{"task": "é\u2028", "won": True, "turns": [], "cost": {"seconds": 1}}, {"task": "b", "won": False}]
    plain = tmp_path / "episodes.jsonl"
    plain.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    kept.keep(plain, tmp_path / "some.json")
    packed = tmp_path / "episodes" / "some.jsonl.xz"
    assert [path.name for path in packed.parent.iterdir()] == [packed.name]
    assert list(read_rows(packed)) == [{name: row[name] for name in row if name != "cost"} for row in rows]


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"no archive" + content])
def test_a_damaged_archive(tmp_path: Path, damage):
    path = tmp_path / "some.jsonl.xz"
    path.write_bytes(damage(lzma.compress(b'{"task": 1}\n')))
    with pytest.raises(InputError, match=r"some.jsonl.xz cannot be unpacked"):
        list(read_rows(path))


def test_a_fresh_clone_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    words = ["build", "out=site", "panel=sokoban-valid-seed0"]
    assert run_actions(PROGRAM, ACTIONS, description="", argv=words) == 0
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    there = [path.name for path in KEPT if path.name.startswith("sokoban_valid_seed0_")]
    assert page.count("Read its episodes</a>") == len(there) >= 6
