"""Games that the rules do not cover: which are handed to the stock engine, which are refused, and what is said."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from envs.alfworld import environment, reference
from envs.alfworld.environment import ALFWorld
from envs.alfworld.generator import generate
from envs.alfworld.reading import read_game
from envs.alfworld.reference import ReferenceWorld, check_loads
from envs.alfworld.tasks import compiled
from envs.alfworld.world import World
from envs.alfworld.writing import write_game
from envs.errors import InputError, MissingExtraError
from tests.envs.alfworld import tiny

pytestmark = pytest.mark.usefixtures("tiny_known", "own_cache")

OTHER_DOMAIN = "(define (domain other))"
OTHER_GOAL = tiny.PROBLEM[: tiny.PROBLEM.index("(:goal")] + "(:goal (and)))"
CODE = "{__import__('pathlib').Path('ran').touch()}"
needs_alfworld = pytest.mark.skipif(
    importlib.util.find_spec("alfworld") is None, reason="the alfworld extra is not installed"
)


class StockWorld(ReferenceWorld):
    """Stands for the stock engine: says which file it was handed."""

    def __init__(self, path: str | Path, goal: str | None = None) -> None:
        self.path = path

    def reset(self) -> str:
        return "the stock engine plays"

    def admissible_commands(self) -> list[str]:
        return ["look"]

    @property
    def won(self) -> bool:
        return False


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were handed to the stock engine."""
    files: list[str] = []
    monkeypatch.setattr(environment, "check_loads", lambda path, why: files.append(path))
    monkeypatch.setattr(environment, "ReferenceWorld", StockWorld)
    return files


def play(path: Path, **options: Any) -> str:
    return ALFWorld(data="generated", **options).reset(options={"game": path})[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pddl_domain": OTHER_DOMAIN}, "its PDDL domain is none that the native engine knows"),
        ({"pddl_problem": OTHER_GOAL}, "its goal is none of ALFWorld's six shapes"),
        ({"pddl_problem": tiny.PROBLEM.replace("(:init", "(:init (isCursed Mug_bar_1)")}, "the predicate 'isCursed'"),
    ],
)
def test_what_is_not_covered_is_named_and_played_by_the_stock_engine(
    tmp_path: Path, handed: list[str], changes: dict[str, Any], said: str
) -> None:
    path = tiny.write(tmp_path, **changes)
    env = ALFWorld(data="generated")
    with pytest.warns(UserWarning, match=said) as caught:
        text, info = env.reset(options={"game": path})
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert text == "the stock engine plays"
    assert handed == [str(path)]
    assert (info["goal"], info["admissible_commands"]) == ("put a mug in desk.", ["look"])
    assert env.solution() == tuple(tiny.WALKTHROUGH)
    with pytest.raises(InputError, match="native engine"):
        env.plan()


@pytest.mark.parametrize(
    "changes",
    [
        {"grammar": tiny.GRAMMAR.replace("task", f"task {CODE}", 1)},
        {"grammar": tiny.GRAMMAR.replace("a mug", CODE)},
        {"grammar": tiny.GRAMMAR.replace("a mug", CODE.replace("{", "\\u007b"))},
        {"grammar": tiny.GRAMMAR.replace("a mug", CODE), "pddl_domain": OTHER_DOMAIN},
        {"grammar": tiny.GRAMMAR.replace("task", f"task {CODE}", 1), "pddl_domain": OTHER_DOMAIN},
        {"pddl_domain": f"(define (domain other) {CODE})"},
        {"pddl_domain": OTHER_DOMAIN, "pddl_problem": tiny.PROBLEM.replace("Bowl_bar_1", "{Bowl}_bar_1")},
    ],
)
def test_files_that_bring_expressions_along_are_never_handed_over(
    tmp_path: Path, handed: list[str], changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tiny.write(tmp_path / "game", **changes)
    with pytest.raises(InputError, match=r"engine=reference.*as code"):
        play(path)
    assert not handed
    assert not Path("ran").exists()


def test_incomplete_files_are_errors_not_fallbacks(tmp_path: Path, handed: list[str]) -> None:
    with pytest.raises(InputError, match="not a complete game file"):
        play(tiny.write(tmp_path, pddl_problem=None))
    assert not handed


def test_covered_games_fall_back_nowhere(tmp_path: Path, handed: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "TextWorld, ALFRED!" in play(tiny.write(tmp_path))
    assert not handed


def test_without_the_stock_engine_it_says_what_is_not_covered_and_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"PDDL domain is none.*pip install 'keystone-rl\[alfworld\]'"):
        play(tiny.write(tmp_path, pddl_domain=OTHER_DOMAIN))


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (
            "import sys; sys.exit('the stock engine cannot load it (KeyError).')",
            "why, and the stock engine cannot load",
        ),
        ("import os; os.abort()", r"the stock engine crashes over it \(exit code -6\)"),
        ("import time; time.sleep(30)", "does not load it in 1 seconds"),
        ("raise SystemExit('x' * 10**6)", r"x\.\.\."),
    ],
)
def test_a_file_that_breaks_the_stock_engine_breaks_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: str, said: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(reference, "_TRIAL", trial)
    monkeypatch.setattr(reference, "MOST_SECONDS", 1)
    path = tiny.write(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        check_loads(str(path), "why")
    assert len(str(caught.value)) < 6000
    assert "\n" not in str(caught.value)


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Any]:
    """A game with the package's own domain and grammar."""
    content: dict[str, Any] = json.loads(write_game(generate("train", 3), tmp_path / "written").read_text())
    return content


def save(folder: Path, content: dict[str, Any], **changes: Any) -> Path:
    folder.mkdir()
    path = folder / "game.tw-pddl"
    path.write_text(json.dumps({**content, **changes}))
    return path


@needs_alfworld
def test_the_stock_engine_plays_a_game_with_an_unknown_domain(tmp_path: Path, written: dict[str, Any]) -> None:
    domain = written["pddl_domain"].replace("(:predicates", "(:predicates (isUnheardOf ?o - object)", 1)
    path = save(tmp_path / "other", written, pddl_domain=domain)
    covered = read_game(save(tmp_path / "same", written))
    env = ALFWorld(data="generated")
    with pytest.warns(UserWarning, match="PDDL domain is none"):
        text, info = env.reset(options={"game": path})
    native = World(compiled(ALFWorld(data="generated")._source.locate(str(tmp_path / "same"))).layout)
    assert text == native.reset()
    for command in covered.walkthrough:
        assert info["admissible_commands"] == native.admissible_commands()
        text, _, _, _, info = env.step(command)
        assert text == native.step(command)
    assert info["won"]


@needs_alfworld
def test_what_the_stock_engine_cannot_load_either_is_one_error(tmp_path: Path, written: dict[str, Any]) -> None:
    problem = written["pddl_problem"].replace("(:init", "(:init (isUnheardOf nothing)", 1)
    path = save(tmp_path / "other", written, pddl_problem=problem)
    with pytest.raises(InputError, match=r"the predicate 'isUnheardOf', and the stock engine cannot load") as caught:
        play(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="the stock engine cannot load"):
        play(path, engine="reference")
