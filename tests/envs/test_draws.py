"""Which tasks a seed draws, in every world: results and panels name them, so they never change.

The values were taken before the draws of all worlds moved into `envs.drawing`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import envs
from envs.alfworld.tasks import TaskSource as Household
from envs.scienceworld.tasks import VARIATIONS, sample
from envs.textworld.families import Family
from envs.textworld.tasks import TaskSource as TextWorld
from tests.envs.alfworld import tiny
from tests.envs.webshop import shops

Draw = Callable[[int, int], list[str]]
GOLDEN: dict[str, list[str]] = json.loads(Path(__file__).with_name("draws.json").read_text())


def digest(lists: Iterable[list[str]]) -> str:
    return hashlib.sha256(json.dumps(list(lists)).encode()).hexdigest()[:16]


def all_of(draw: Draw) -> list[str]:
    """The first names of a draw to read, and a hash of several draws."""
    return [*draw(3, 2), digest(draw(seed, count) for seed in (0, 1, 2**40) for count in (0, 1, 25))]


@pytest.fixture
def household(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four games with one to four annotations."""
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    for number in range(4):
        folder = tmp_path / "data" / "json_2.1.1" / f"train/pick_and_place_simple-Mug-None-Desk-308/trial_{number}"
        game = tiny.write(folder)
        rows = [{"task_desc": f"Goal {row}"} for row in range(number + 1)]
        game.with_name("traj_data.json").write_text(json.dumps({"turk_annotations": {"anns": rows}}))
    return tmp_path / "data"


def held_to(name: str, draw: Draw) -> None:
    assert all_of(draw) == GOLDEN[name]


@pytest.mark.parametrize("goals", ["template", "human"])
def test_household_games(household: Path, goals: str):
    held_to(f"alfworld {goals}", Household(str(household), "train", goals=goals, compiling=False).sample)


@pytest.mark.parametrize("split", ["train", "valid_seen", "valid_unseen"])
def test_generated_household_games(split: str):
    held_to(f"alfworld {split}", Household("generated", split).sample)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_text_games(split: str):
    held_to(f"textworld {split}", TextWorld("", split, Family(), 9).sample)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_experiments(split: str):
    kinds = sorted(VARIATIONS)[:3]
    held_to(f"scienceworld {split}", lambda seed, count: sample(kinds, (), split, seed, count))


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("world", ["sokoban", "toy_text", "webshop", "math", "code"])
def test_generated_worlds(world: str, split: str):
    held_to(f"{world} {split}", envs.make(world, split=split).sample_tasks)


def test_levels_of_files(tmp_path: Path):
    rows = [f"{'#' * (width + 6)}\n#@$ .{' ' * width}#\n{'#' * (width + 6)}\n" for width in range(40)]
    (tmp_path / "levels.txt").write_text("\n".join(rows))
    for split in ("train", "valid", "test"):
        held_to(f"sokoban files {split}", envs.make("sokoban", data=str(tmp_path), split=split).sample_tasks)


def test_goals_of_files(tmp_path: Path):
    items = [shops.item(f"B{number}", f"Pine Table {number}") for number in range(30)]
    human = {one["asin"]: [shops.instruction("a table of solid wood", ["solid wood"], [])] for one in items}
    shops.written(tmp_path, items, {}, human)
    for split in ("train", "valid", "test"):
        held_to(f"webshop files {split}", envs.make("webshop", data=str(tmp_path), split=split).sample_tasks)


def test_splits_of_problems_in_files(tmp_path: Path):
    records = [json.dumps({"question": f"What is {number} + 1?", "answer": f"{number + 1}"}) for number in range(60)]
    (tmp_path / "train.jsonl").write_text("\n".join(records))
    row = '{"task_id": "own/%d", "text": "t", "code": "def f():\\n    return 1", "test_list": ["assert f() == 1"]}'
    (tmp_path / "programs.json").write_text("[" + ",".join(row % number for number in range(60)) + "]")
    for split in ("train", "valid", "test"):
        held_to(f"math files {split}", envs.make("math", data=str(tmp_path), split=split).sample_tasks)
        programs = str(tmp_path / "programs.json")
        held_to(f"code files {split}", envs.make("code", data=programs, split=split).sample_tasks)


@pytest.mark.parametrize("world", ["alfworld", "sokoban", "toy_text", "webshop", "math", "code"])
def test_what_comes_without_a_seed(world: str):
    """A world draws on, from the seed given last; a task that is named in between may take a draw or not."""
    env = envs.make(world, **({"data": "generated"} if world == "alfworld" else {}))
    told = [env.reset(seed=seed)[1]["task"] for seed in (5, None, None)]
    env.reset(options={"task": told[0]})
    told.append(env.reset()[1]["task"])
    env.close()
    assert told == GOLDEN[f"{world} without a seed"]
