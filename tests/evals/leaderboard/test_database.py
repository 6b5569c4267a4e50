"""The database file: versions, writers at once, kills, and files that are none."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.installation import REPOSITORY
from evals.leaderboard import chaos
from evals.leaderboard.database import APPLICATION, MIGRATIONS, VERSION, Database, read
from evals.leaderboard.entries import key_of
from tests.evals.leaderboard.made import entry

WRITER = """
import sys
from pathlib import Path
from evals.leaderboard.database import Database
from tests.evals.leaderboard.made import entry

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    with Database(path) as database:
        database.add(entry(f"{name} {number}", [1, 0] * 100))
"""

# Dies in the middle of a transaction, when half of it is on the disk.
DYING = """
import os, signal, sys
from pathlib import Path
from evals.leaderboard.database import Database
from tests.evals.leaderboard.made import entry

database = Database(Path(sys.argv[1]))
database._connection.execute("PRAGMA cache_size = 1")
with database._transaction() as cursor:
    for number in range(200):
        cursor.execute("INSERT INTO entries (key, content) VALUES (?, ?)", (f"half {number}", "x" * 10000))
    os.kill(os.getpid(), signal.SIGKILL)
"""

READER = """
import os, sys
from pathlib import Path
from evals.leaderboard.database import Database, read
from envs.errors import InputError

path = Path(sys.argv[1])
if os.geteuid() == 0:
    # Root writes everywhere: somebody else looks.
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print([stored.entry["name"] for stored in read(path)])
try:
    Database(path)
except InputError as error:
    print(error)
"""


def process(program: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def names(path: Path) -> list[str]:
    return [stored.entry["name"] for stored in read(path)]


def test_what_was_added_is_there(tmp_path: Path):
    path, episodes = tmp_path / "board.sqlite", tmp_path / "episodes.jsonl"
    with Database(path) as database:
        assert not database.add(entry("one", [1, 0]), episodes)
        assert not database.add(entry("two", [1, 1]))
        assert database.problems() == []
    one, two = read(path)
    assert (one.entry, one.episodes) == (entry("one", [1, 0]), episodes)
    assert (two.entry["name"], two.episodes) == ("two", None)
    assert one.added.endswith("Z")


def test_a_leaderboard_may_be_moved_with_its_episodes(tmp_path: Path):
    there, here, elsewhere = tmp_path / "there", tmp_path / "here", tmp_path / "elsewhere.jsonl"
    (there / "board.episodes").mkdir(parents=True)
    for name, file in {"beside": there / "board.episodes" / "one.jsonl", "away": elsewhere}.items():
        file.write_text(name)
        with Database(there / "board.sqlite") as database:
            database.add(entry(name, [1, 0]), file)
    there.rename(here)
    (tmp_path / "link.sqlite").symlink_to(here / "board.sqlite")
    for path in (here / "board.sqlite", tmp_path / "link.sqlite"):
        assert [stored.episodes.read_text() for stored in read(path) if stored.episodes] == ["beside", "away"]


def test_a_full_path_to_episodes_as_older_versions_wrote_it_is_read(tmp_path: Path):
    path, episodes = tmp_path / "board.sqlite", tmp_path / "episodes.jsonl"
    with Database(path) as database:
        database.add(entry("one", [1, 0]))
        database._connection.execute("UPDATE entries SET episodes = ?", (str(episodes),))
        assert [stored.episodes for stored in database.entries()] == [episodes]


def test_the_same_entry_again_takes_the_place_of_the_first(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    with Database(path) as database:
        database.add(entry("one", [1, 0]))
        database.add(entry("two", [1, 0]))
        assert database.add(entry("one", [0, 0]))
    assert [stored.entry["outcomes"] for stored in read(path)] == [[0, 0], [1, 0]]


def test_an_entry_whose_key_changed_takes_the_place_of_what_it_was(tmp_path: Path):
    """A key has a panel's content only where it is not the pinned one: once it is pinned, today's key is another."""
    path, made = tmp_path / "board.sqlite", entry("one", [1, 0])
    with Database(path) as database:
        database.add(made)
        database.add(entry("two", [1, 1]))
        database._connection.execute("UPDATE entries SET key = 'as it was' WHERE number = 1")
        assert database.add(entry("one", [0, 0]), before=made)
        assert database.add(entry("one", [0, 1]))
    assert [(stored.entry["name"], stored.entry["outcomes"]) for stored in read(path)] == [
        ("one", [0, 1]),
        ("two", [1, 1]),
    ]


def test_what_is_no_entry_is_not_written(tmp_path: Path):
    with Database(tmp_path / "board.sqlite") as database:
        with pytest.raises(InputError, match="the new entry: kind of the entry must be one of"):
            database.add(entry("one", [1, 0], kind="winner"))
        assert database.entries() == []


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path):
    path = tmp_path / "old.sqlite"
    old = sqlite3.connect(path)
    for statement in MIGRATIONS[0]:
        old.execute(statement)
    kept = entry("kept", [1, 0])
    old.execute("INSERT INTO entries (key, content) VALUES (?, ?)", (key_of(kept), json.dumps(kept)))
    old.execute("PRAGMA user_version = 1")
    old.execute(f"PRAGMA application_id = {APPLICATION}")
    old.commit()
    old.close()
    (stored,) = read(path)
    assert (stored.entry, stored.added, stored.episodes) == (kept, "", None)
    with Database(path) as database:
        assert database.add(kept)
        assert database.problems() == []
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (VERSION,)


def refusal(path: Path) -> str:
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(InputError) as caught:
        read(path, named=True)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    with Database(path):
        pass
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    assert f"newer Keystone (schema {VERSION + 1}, this one knows {VERSION})" in refusal(path)


def test_what_is_no_leaderboard_is_refused(tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be taken for one by its length alone\n" * 50)
    assert "is not a database" in refusal(text)
    other = tmp_path / "other.sqlite"
    made = sqlite3.connect(other)
    made.execute("CREATE TABLE recipes (name TEXT)")
    made.close()
    assert "is the database of another program" in refusal(other)
    assert "cannot be opened" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "absent.sqlite")
    with pytest.raises(InputError, match="cannot be opened"):
        Database(tmp_path / "no" / "folder.sqlite")


def test_a_damaged_file_is_said_to_be(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    with Database(path) as database:
        for number in range(30):
            database.add(entry(f"entry {number}", [1, 0] * 300))
    content = bytearray(path.read_bytes())
    content[8192:-4096] = os.urandom(len(content) - 8192 - 4096)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        read(path)


def test_a_row_that_another_program_changed_is_named(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    with Database(path) as database:
        database.add(entry("one", [1, 0]))
    other = sqlite3.connect(path)
    other.execute("UPDATE entries SET content = '{\"schema\": 1'")
    other.commit()
    with pytest.raises(InputError, match="row 1 was changed by another program: it is not valid JSON"):
        read(path)
    other.execute("UPDATE entries SET content = '{\"schema\": 1}'")
    other.commit()
    other.close()
    with pytest.raises(InputError, match="row 1: name of the entry must be"):
        read(path)


def test_reading_makes_no_file(tmp_path: Path):
    assert read(tmp_path / "board.sqlite") == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that anybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "leaderboard.sqlite"


def looked_at(path: Path) -> list[str]:
    for entry_, mode in ((path, 0o444), (path.parent, 0o555)):
        entry_.chmod(mode)
    try:
        said = subprocess.run(
            [sys.executable, "-c", READER, str(path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
    finally:
        path.parent.chmod(0o755)
    assert said.stderr == ""
    return said.stdout.splitlines()


def test_a_file_that_one_may_only_read_is_read(shared: Path):
    with Database(shared) as database:
        database.add(entry("mine", [1, 0]))
    seen, refused = looked_at(shared)
    assert seen == "['mine']"
    assert refused.startswith(f"db={shared} cannot be ")
    assert sorted(shared.parent.iterdir()) == [shared]


def test_an_old_file_that_one_may_only_read_is_read_and_stays_old(shared: Path):
    with closing(sqlite3.connect(shared, isolation_level=None)) as connection:
        for statement in (*MIGRATIONS[0], "PRAGMA user_version = 1", f"PRAGMA application_id = {APPLICATION}"):
            connection.execute(statement)
        content = entry("old", [1, 0])
        connection.execute(
            "INSERT INTO entries (key, content) VALUES (?, ?)", (key_of(content), json.dumps(content, sort_keys=True))
        )
    assert looked_at(shared)[0] == "['old']"
    with closing(sqlite3.connect(shared)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_file_that_another_is_writing_is_read_as_it_stands(shared: Path):
    with Database(shared) as database:
        database.add(entry("written before", [1, 0]))
        assert shared.with_name(f"{shared.name}-wal").stat().st_size
        assert looked_at(shared)[0] == "['written before']"


@pytest.mark.fault
def test_two_writers_at_once_lose_nothing(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    writers = [process(WRITER, str(path), name, "40") for name in ("left", "right")]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    found = names(path)
    assert sorted(found) == sorted(f"{side} {number}" for side in ("left", "right") for number in range(40))
    for side in ("left", "right"):
        assert [name for name in found if side in name] == [f"{side} {number}" for number in range(40)]
    with Database(path) as database:
        assert database.problems() == []


@pytest.mark.fault
def test_two_additions_at_once_into_a_new_file(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    additions = [chaos.start(path, number) for number in range(2)]
    for addition in additions:
        addition.join()
        assert addition.exitcode == 0
    assert sorted(names(path)) == ["entry 0", "entry 1"]


def test_a_writer_that_does_not_end_is_said_in_one_line(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    with Database(path) as busy, busy._transaction(), Database(path, patience=0.05) as other:
        with pytest.raises(InputError, match="is being written by another process"):
            other.add(entry("one", [1, 0]))
        assert other.entries() == []


@pytest.mark.fault
def test_a_kill_within_a_transaction_leaves_nothing_of_it(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    with Database(path) as database:
        database.add(entry("before", [1, 0]))
    dying = process(DYING, str(path))
    dying.communicate()
    assert dying.returncode == -signal.SIGKILL
    assert path.with_name("board.sqlite-wal").stat().st_size > 10**6
    with Database(path) as database:
        assert [stored.entry["name"] for stored in database.entries()] == ["before"]
        assert database.problems() == []
        database.add(entry("after", [1, 0]))
    assert names(path) == ["before", "after"]


@pytest.mark.fault
def test_additions_killed_at_random_moments(tmp_path: Path):
    path = tmp_path / "board.sqlite"
    lasts = chaos.measure(path)
    draws = random.Random(1)
    for number in range(8):
        chaos.kill_one(path, number, lasts, draws)
    assert len(chaos.contents(path)) == 9


@pytest.mark.fault
def test_an_addition_that_hangs_is_killed_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chaos, "PATIENCE_SECONDS", 0.1)
    process = multiprocessing.get_context("spawn").Process(target=signal.pause)
    process.start()
    with pytest.raises(chaos.DamageError, match="the addition of entry 3 hangs: it has not ended within"):
        chaos._end(process, "addition of entry 3")
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
