"""Games made in less time are the games that TextWorld makes."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.textworld import making
from envs.textworld.families import MadeTask
from envs.textworld.files import made_file
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


def test_a_compiler_for_another_machine(tmp_path: Path, textworld: object, monkeypatch: pytest.MonkeyPatch):
    compiler = tmp_path / "thirdparty" / "inform7-6M62" / "share" / "inform7" / "Compilers" / "ni"
    compiler.parent.mkdir(parents=True)
    compiler.write_bytes(b"\x7fELF of another machine")
    compiler.chmod(0o755)
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(making, "files", lambda package: tmp_path)
    with pytest.raises(InputError, match=r"Inform 7 cannot be run here: .*/ni: Exec format error"):
        made_file("coin_collector/level=1/train/0")
