"""Panels: drawn, read from files, hashed, and refused where the data holds other tasks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs import presets
from envs.config import load
from envs.errors import InputError
from evals.panels import FixedPanel, Panel, choose, draw, read
from evals.run import EvalConfig
from tests.envs.corridor import Corridor


class Rows(Corridor):
    """Corridors of which a split has exactly `length`."""

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        rounds = range(count // self.config.length + 1)
        places = [
            place
            for turn in rounds
            for place in random.Random(f"{seed}/{turn}").sample(self._places, k=len(self._places))
        ]
        return [f"{self.config.split}-{place}" for place in places[:count]]

    @property
    def _places(self) -> list[int]:
        return list(range(self.config.length))


ROWS = "tests.evals.test_panels:Rows"


@pytest.fixture
def panel_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose `panel/*.yaml` stand in for those of the repository."""
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    (tmp_path / "panel").mkdir()
    return tmp_path / "panel"


def test_the_generated_panel_is_the_pinned_one():
    fixed = read("alfworld_generated_unseen")
    panel = fixed.find(envs.make("alfworld", **fixed.options))
    assert len(panel.tasks) == len(set(panel.tasks)) == 300
    assert panel.sha256 == fixed.sha256
    assert all(task.startswith("generated/unseen/") for task in panel.tasks)


def test_the_whole_of_real_valid_seen_is_the_pinned_one(alfworld_data: Path):
    fixed = read("alfworld_valid_seen")
    panel = fixed.find(envs.make("alfworld", data=str(alfworld_data), **fixed.options))
    assert len(panel.tasks) == 140
    assert panel.sha256 == fixed.sha256


def test_a_panel_of_real_games_is_refused_without_them():
    with pytest.raises(InputError, match=r"has no end: generated household games.*data=PATH"):
        read("alfworld_valid_seen").find(envs.make("alfworld", data="generated", split="valid_seen"))


def test_the_hash_is_of_the_names_in_order():
    # printf '["a", "b"]' | sha256sum
    expected = "3554d2b8a1e34099053865de8576d1460b807430ec8c6b85315c9607ba93d308"
    assert Panel("x", ("a", "b")).sha256 == expected
    assert Panel("x", ("a", "b")).sha256 != Panel("x", ("b", "a")).sha256
    assert Panel("x", ("a", "b")).sha256 == Panel("y", ("a", "b")).sha256


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.sets(st.integers(0, 11), max_size=8))
def test_drawn_tasks_are_distinct_and_none_is_excluded(seed: int, count: int, places: set[int]):
    env, excluded = Rows(length=12), [f"train-{place}" for place in sorted(places)]
    tasks = draw(env, "some", seed, count, excluding=excluded).tasks
    assert len(tasks) == len(set(tasks)) == min(count, 12 - len(excluded))
    assert not set(tasks) & set(excluded)


def test_a_fixed_number_of_tasks_and_a_whole_split():
    env = Rows(length=11, split="test")
    assert FixedPanel("five", ROWS, tasks=5, seed=3).find(env) == draw(env, "five", 3, 5)
    whole = FixedPanel("all", ROWS).find(env)
    assert whole.tasks == tuple(sorted(f"test-{place}" for place in range(11)))
    assert FixedPanel("all", ROWS, seed=9).find(env) == whole


def test_other_data_than_the_panel_was_made_from_is_refused():
    pinned = FixedPanel("five", ROWS, tasks=5).find(Rows(length=20)).sha256
    fixed = FixedPanel("five", ROWS, tasks=5, sha256=pinned)
    assert fixed.find(Rows(length=20)).sha256 == pinned
    with pytest.raises(InputError, match=rf"panel=five has tasks of sha256 {pinned[:12]}, but those here have"):
        fixed.find(Rows(length=21))
    with pytest.raises(InputError, match="panel=five has 5 tasks, but the data here has 4"):
        fixed.find(Rows(length=4))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("env: alfworld\ntasks: 3\nseeds: 1", "unknown key in configs/panel/mine.yaml 'seeds'. Did you mean 'seed'?"),
        ("tasks: 3", "env must be an environment's name, got None"),
        ("env: alfworld", "tasks must be a number of at least 1, or all, got None"),
        ("env: alfworld\ntasks: 0", "tasks must be a number of at least 1, or all, got 0"),
        ("env: alfworld\ntasks: some", "tasks must be a number of at least 1, or all, got 'some'"),
        ("env: alfworld\ntasks: 3\nseed: -1", "seed must be a whole number of at least 0, got -1"),
        ("env: alfworld\ntasks: 3\noptions: valid_seen", "options must be a mapping, got 'valid_seen'"),
        (
            "env: alfworld\ntasks: 3\nsha256: ab12",
            "sha256 must be 64 hexadecimal digits, or: not yet pinned, got 'ab12'",
        ),
    ],
)
def test_a_wrong_panel_file_is_refused_in_one_line(content: str, line: str, panel_files: Path):
    (panel_files / "mine.yaml").write_text(content)
    with pytest.raises(InputError) as caught:
        read("mine")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_panel_names_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'alfworld_valid_seen'"):
        read("alfworld_valid_sen")


def test_a_panel_of_another_environment_is_refused():
    env = load(EvalConfig, [f"env={ROWS}"]).env
    with pytest.raises(InputError, match=r"panel=alfworld_valid_seen is a panel of env=alfworld, not of env=tests"):
        choose(env, "alfworld_valid_seen", "test", 0, 3)


def test_the_options_of_a_fixed_panel_win_over_those_of_the_run(panel_files: Path):
    (panel_files / "mine.yaml").write_text(f"env: {ROWS}\noptions: {{split: test, length: 6}}\ntasks: all\n")
    env = load(EvalConfig, [f"env={ROWS}", "env.split=train", "env.length=9", "env.max_turns=4"]).env
    make, panel = choose(env, "mine", "train", 0, 3)
    assert panel.name == "mine"
    assert panel.tasks == tuple(f"test-{place}" for place in range(6))
    assert make.keywords == {"split": "test", "length": 6, "max_turns": 4, "light": "lit"}
    assert make().config.max_turns == 4


def test_a_drawn_panel_is_named_after_what_it_was_drawn_by():
    env = load(EvalConfig, [f"env={ROWS}", "env.length=30"]).env
    make, panel = choose(env, "", "test", 5, 4)
    assert panel.name == f"{ROWS}-test-seed5"
    assert len(panel.tasks) == 4
    assert all(task.startswith("test-") for task in panel.tasks)
    assert make().config.split == "test"
    assert choose(env, "", "test", 5, 6)[1].tasks[:4] == panel.tasks
    assert choose(env, "", "test", 6, 4)[1].tasks != panel.tasks
