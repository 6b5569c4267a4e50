"""Games made in less time are the games that TextWorld makes."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from envs.textworld import making
from envs.textworld.families import MadeTask
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
