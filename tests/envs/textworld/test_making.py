"""Games made in less time are the games that TextWorld makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.textworld import files, making
from envs.textworld.families import MadeTask
from envs.textworld.files import made_file, made_sha256
from envs.textworld.making import make_game


@pytest.mark.parametrize(
    "name",
    [
        "cooking/recipe=3,take=2,go=12,open,cook,cut/valid/1",
        "coin_collector/level=3/train/0",
        "treasure_hunter/level=12/train/2",
    ],
)
def test_shortcuts_change_nothing(name: str, textworld: object, monkeypatch: pytest.MonkeyPatch):
    task = MadeTask(name)
    quick = [json.dumps(make_game(task).serialize()) for _ in range(2)]
    monkeypatch.setattr(making, "_quicker", nullcontext)
    assert quick == [json.dumps(make_game(task).serialize())] * 2


def test_what_a_made_game_consists_of_is_the_same_in_every_process_and_in_the_cache(
    tmp_path: Path, textworld: object, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path))
    name, others = "cooking/recipe=1,take=1,go=6/test/1", "cooking/recipe=1,take=1,go=6/test/2"
    found = made_sha256.__wrapped__(name)
    said = f"from envs.textworld.files import made_sha256; print(made_sha256({name!r}))"
    for seed in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", said], env={**os.environ, "PYTHONHASHSEED": seed}, stdout=-1)
        assert done.stdout.decode().strip() == found
    other = made_sha256.__wrapped__(others)
    assert other != found
    made_file(name)
    # The game that is played is the one in the cache, whoever made it.
    monkeypatch.setattr(files, "make_game", lambda task: make_game(MadeTask(others)))
    assert made_sha256.__wrapped__(name) == found
    shutil.rmtree(tmp_path / "textworld")
    assert made_sha256.__wrapped__(name) == other


def test_what_a_made_game_consists_of_does_not_tell_where_the_library_is_installed(
    tmp_path: Path, textworld: object, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path))
    name = "simple/objective=brief/train/9"
    found, here = made_sha256.__wrapped__(name), str(Path(textworld.__file__).parent)
    kept = made_file(name).with_suffix(".json")
    facts = kept.read_text()
    assert here in facts
    kept.write_text(facts.replace(here, "/elsewhere/textworld"))
    assert made_sha256.__wrapped__(name) == found
    kept.write_text(facts.replace("fail()", "fail() "))
    assert made_sha256.__wrapped__(name) != found


def test_a_compiler_for_another_machine(tmp_path: Path, textworld: object, monkeypatch: pytest.MonkeyPatch):
    compiler = tmp_path / "thirdparty" / "inform7-6M62" / "share" / "inform7" / "Compilers" / "ni"
    compiler.parent.mkdir(parents=True)
    compiler.write_bytes(b"\x7fELF of another machine")
    compiler.chmod(0o755)
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(making, "files", lambda package: tmp_path)
    with pytest.raises(InputError, match=r"Inform 7 cannot be run here: .*/ni: Exec format error"):
        made_file("coin_collector/level=1/train/0")
