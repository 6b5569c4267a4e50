"""Hostile game files and folders: one clear line of bounded length each, no hang, no crash, nothing run."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.alfworld.environment import ALFWorld
from envs.alfworld.experts import ExploringExpert
from envs.alfworld.games import find_games, forget
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.reading import MOST_BYTES, parse_game, read_game, read_outline
from envs.alfworld.world import World
from envs.errors import InputError
from tests.envs.alfworld import tiny

pytestmark = [pytest.mark.usefixtures("tiny_known", "own_cache"), pytest.mark.timeout(60)]

GAME = "pick_and_place_simple-Mug-None-Desk-308/trial_1"
MOST_CHARACTERS = 700


def check_message(error: InputError, named: str = "") -> None:
    """One line of bounded length that names the file."""
    message = str(error)
    assert "\n" not in message
    assert len(message) < MOST_CHARACTERS + len(named)
    assert named in message


def refused(content: str) -> str:
    """What is said of a game file's text."""
    with pytest.raises(InputError) as caught:
        parse_game(content, "some/game")
    check_message(caught.value, "some/game")
    return str(caught.value)


def try_all(content: bytes, folder: Path) -> None:
    """Reads a file in every way that there is; what can be read is played."""
    path = folder / "game.tw-pddl"
    path.write_bytes(content)
    for read in (read_game, read_outline):
        try:
            read(path)
        except InputError as error:
            check_message(error, str(path))
    env = ALFWorld(data="generated")
    try:
        game = read_game(path)
    except InputError:
        return
    text, info = env.reset(options={"game": path})
    for command in [*info["admissible_commands"][:20], *game.walkthrough[:20]]:
        text, *_ = env.step(command)
    assert text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
hostile_settings = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@hostile_settings
@given(st.dictionaries(st.sampled_from(sorted(tiny.content())), json_values, max_size=3), st.booleans())
def test_wrong_types_and_missing_keys(tmp_path: Path, changes: dict[str, Any], drop: bool) -> None:
    content = {**tiny.content(), **changes}
    if drop:
        content = {key: value for key, value in content.items() if key not in changes}
    try_all(json.dumps(content).encode(), tmp_path)


@hostile_settings
@given(st.integers(0, 3000), st.integers(0, 40), st.binary(max_size=40))
def test_cut_and_overwritten_bytes(tmp_path: Path, start: int, length: int, replacement: bytes) -> None:
    whole = json.dumps(tiny.content()).encode()
    try_all(whole[:start] + replacement + whole[start + length :], tmp_path)
    try_all(whole[:start] + replacement, tmp_path)


@hostile_settings
@given(
    st.sampled_from(tiny.PROBLEM.split()),
    st.text(max_size=12) | st.sampled_from(["(", ")", "\0", "\ud800", "é", "{x}"]),
)
def test_any_word_of_a_problem_replaced(tmp_path: Path, word: str, replacement: str) -> None:
    try_all(json.dumps(tiny.content(pddl_problem=tiny.PROBLEM.replace(word, replacement))).encode(), tmp_path)


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("plan_tiny", LONG),
        ("Mug_bar_1", LONG),
        ("Mug_bar_1", f"{LONG}_bar_1"),
        ("loc_bar_3", LONG),
        ("Desk_bar_1", LONG),
        ("MugType)", f"{LONG})"),
        ("(pickupable", f"({LONG}"),
        ("(openable Safe_bar_1)", f"(openable {LONG})"),
        ("(atLocation agent1", f"(atLocation {LONG}"),
        ("Mug_bar_1", "M\0g_bar_1"),
        ("Mug_bar_1", "Müg_bar_1"),
        ("(inReceptacle ?o ?r)", f"(inReceptacle ?o {LONG})"),
        ("(:goal", f"(:goal {'(and ' * 200_000}"),
        ("(:init", f"(:init {'(not ' * 200_000}"),
        ("(:init", f"(:init {'(' * 1_000_000}"),
    ],
)
def test_enormous_and_odd_names(old: str, new: str) -> None:
    refused(json.dumps(tiny.content(pddl_problem=tiny.PROBLEM.replace(old, new))))


@pytest.mark.parametrize(
    "content",
    [
        "[" * 1_000_000,
        '{"a":' * 200_000,
        '{"pddl_problem": ' + "9" * 1_000_000 + "}",
        '{"solvable": 1e999999999, "x": -' + "9" * 5000 + "}",
        json.dumps({LONG: LONG}),
        json.dumps(tiny.content(pddl_domain=7)),
        json.dumps(tiny.content(walkthrough=[LONG])),
        json.dumps(tiny.content(walkthrough=["go\nto"])),
        json.dumps(tiny.content(walkthrough=["go \ud800"])),
        json.dumps(tiny.content(walkthrough={"0": "look"})),
        json.dumps(tiny.content(grammar=tiny.GRAMMAR.replace("a mug", LONG))),
        json.dumps(tiny.content(pddl_domain=f"(define (domain {LONG}))")),
        "\x00" * 100,
        '{"pddl_problem": "\x00"}',
        "\ufeff{}",
    ],
)
def test_odd_json(content: str) -> None:
    refused(content)


@pytest.mark.parametrize(
    "piece",
    [
        "(a ",
        "(a b c ",
        "( ",
        "(a" + " " * 50,
        "; ",
        ";\n",
        " ",
        "\n",
        "(problem ",
        "(:init",
        "(:goal",
        "(and(exists(?r - receptacle)",
        "x",
        "x ",
        "(pickupable Mug_bar_1)",
    ],
)
def test_reading_takes_time_linear_in_the_length(piece: str) -> None:
    """A flood of any piece anywhere; what backtracks would take hours, and the time limit would end the test."""
    flood = piece * (200_000 // len(piece))
    texts = [flood, tiny.PROBLEM.replace("(:init", f"{flood}(:init"), tiny.PROBLEM.replace("(:goal", f"{flood}(:goal")]
    texts += [tiny.PROBLEM.replace("(and", f"{flood}(and", 1), tiny.PROBLEM + flood]
    for text in texts:
        try:
            parse_game(json.dumps(tiny.content(pddl_problem=text)), "some/game")
        except InputError as error:
            check_message(error, "some/game")


@pytest.mark.parametrize("piece", ['"Your task is to: ', '"Your task is to: ' + "a" * 990, "\\", '\\"', "a", '"', "\n"])
def test_reading_a_grammar_takes_time_linear_in_its_length(piece: str) -> None:
    flood = piece * (200_000 // len(piece))
    for grammar in (flood, f"{flood}!{tiny.GRAMMAR}", tiny.GRAMMAR.replace("a mug", f"a {flood}")):
        refused(json.dumps(tiny.content(grammar=grammar)))


def test_a_huge_but_complete_game_can_be_played() -> None:
    """Names as long as they may be, thousands of entities: nothing in the way of an episode goes wild."""
    letters = "Mug" + "g" * 180
    more = "".join(
        f"(objectType {mug} MugType)(pickupable {mug})(inReceptacle {mug} Safe_bar_1)"
        for mug in (f"{letters}_bar_{number}" for number in range(2000))
    )
    content = tiny.content(pddl_problem=tiny.PROBLEM.replace("(:init", f"(:init {more}"))
    game = parse_game(json.dumps(content), "x")
    world = World(Layout(game.problem, game.dialect))
    expert, text = ExploringExpert(None, 0), world.reset()
    for _ in range(6):
        text = world.step(expert.act(text))
    planned = plan(world.layout)
    assert planned is not None
    world.reset()
    for command in planned:
        world.step(command)
    assert world.won


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A data folder's split with one good game."""
    folder = tmp_path / "data" / "json_2.1.1" / "train"
    tiny.write(folder / GAME)
    return folder


def scan(split: Path) -> tuple[str, ...]:
    """What a fresh scan of the data folder finds."""
    forget()
    games = find_games(str(split.parent.parent), "train")
    assert games is not None
    return games.names


def scan_error(split: Path) -> str:
    forget()
    with pytest.raises(InputError) as caught:
        find_games(str(split.parent.parent), "train")
    check_message(caught.value)
    return str(caught.value)


def test_folders_and_loops_in_the_data_are_no_games(split: Path) -> None:
    (split / "pick_and_place_simple-Mug-None-Desk-1" / "trial_2" / "game.tw-pddl").mkdir(parents=True)
    (split / "loop").symlink_to(split)
    (split / "pick_and_place_simple-Mug-None-Desk-2").symlink_to(split / "pick_and_place_simple-Mug-None-Desk-2")
    assert scan(split) == (f"train/{GAME}",)
    env = ALFWorld(data=str(split.parent.parent))
    for name in ("train/pick_and_place_simple-Mug-None-Desk-1/trial_2", "train/pick_and_place_simple-Mug-None-Desk-2"):
        with pytest.raises(InputError, match="unknown task"):
            env.reset(options={"task": name})


@pytest.mark.parametrize("kind", ["loop", "broken", "pipe", "socket", "device", "huge", "bytes", "nul", "cut", "deep"])
def test_files_that_are_no_games_are_named(split: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = split / "pick_and_place_simple-Mug-None-Desk-9" / "trial_9"
    folder.mkdir(parents=True)
    path = folder / "game.tw-pddl"
    if kind == "loop":
        path.symlink_to(path)
    elif kind == "broken":
        path.symlink_to(folder / "nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        monkeypatch.chdir(folder)
        socket.socket(socket.AF_UNIX).bind(path.name)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(MOST_BYTES + 1)
    else:
        content = {"bytes": b"\xff\xfe{", "nul": b"\0" * 50, "cut": b'{"pddl_', "deep": b"[" * 100_000}[kind]
        path.write_bytes(content)
    assert str(path) in scan_error(split)
    with pytest.raises(InputError) as caught:
        ALFWorld(data="generated").reset(options={"game": path})
    check_message(caught.value)


def test_a_folder_whose_name_is_not_utf8_is_named(split: Path) -> None:
    folder = os.fsencode(split) + b"/pick_and_place_simple-\xff-None-Desk-9"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    with open(folder + b"/game.tw-pddl", "w") as file:
        file.write(json.dumps(tiny.content()))
    assert "not UTF-8" in scan_error(split)


@pytest.mark.parametrize(
    "name", ["x" * 1_000_000, "/" + "x" * 300, "a/" * 100_000, "a\0b", "/", "", "..", "#1", "\ud800"]
)
def test_odd_task_names_and_folders(split: Path, name: str) -> None:
    env = ALFWorld(data=str(split.parent.parent))
    for option in ("task", "game"):
        with pytest.raises(InputError) as caught:
            env.reset(options={option: name})
        check_message(caught.value)
    if name not in ("", "/", ".."):
        with pytest.raises(InputError) as caught:
            ALFWorld(data=name)
        check_message(caught.value)


def test_a_data_folder_that_is_a_loop(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="no such folder"):
        ALFWorld(data=str(tmp_path / "loop"))
    (Path.home() / ".cache").mkdir(parents=True)
    (Path.home() / ".cache" / "alfworld").symlink_to(Path.home() / ".cache" / "alfworld")
    assert find_games("", "train") is None
