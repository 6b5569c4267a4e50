"""Goals in the words of annotators: which are drawn, how they are told, and what is said where there are none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.alfworld import dialects
from envs.alfworld.dialects import TASK_LINE, grammar_fingerprint
from envs.alfworld.environment import ALFWorld
from envs.alfworld.goals import human_goals
from envs.alfworld.reading import MOST_BYTES
from envs.errors import InputError
from tests.envs.alfworld import tiny

pytestmark = pytest.mark.usefixtures("tiny_known", "own_cache")

NAME = "train/pick_and_place_simple-Mug-None-Desk-308/trial_{}"


def annotate(game: Path, *goals: Any) -> Path:
    """Writes annotations beside a game."""
    content = {
        "task_type": "x",
        "turk_annotations": {"anns": [{"task_desc": goal, "high_descs": []} for goal in goals]},
    }
    game.with_name("traj_data.json").write_text(json.dumps(content), encoding="utf-8")
    return game


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four games with one to four annotations."""
    for number in range(4):
        game = tiny.write(tmp_path / "json_2.1.1" / NAME.format(number))
        annotate(game, *(f"Move mug {number} the {way}. way" for way in range(number + 1)))
    return tmp_path


def make(data: Path, **options: Any) -> ALFWorld:
    return ALFWorld(data=str(data), goals="human", **options)


def test_the_annotation_stands_in_the_task_line_and_in_the_name(data: Path) -> None:
    env = make(data)
    name = f"{NAME.format(3)}#2"
    text, info = env.reset(options={"task": name})
    assert text.endswith("\n\nYour task is to: Move mug 3 the 2. way.")
    assert (info["goal"], info["task"], info["task_type"]) == (
        "Move mug 3 the 2. way.",
        name,
        "pick_and_place_simple",
    )
    template = ALFWorld(data=str(data))
    assert template.reset(options={"task": name}) == (text, info)
    plain = template.reset(options={"task": NAME.format(3)})[0]
    assert plain.partition("Your task is to: ")[0] == text.partition("Your task is to: ")[0]
    assert env.reset(options={"task": NAME.format(3)})[0] == plain
    for command in tiny.WALKTHROUGH:
        env.step(command)
    assert env.step("look")[4]["won"]


def test_every_game_comes_once_before_one_comes_with_another_annotation(data: Path) -> None:
    env = make(data)
    drawn = env.sample_tasks(0, 25)
    assert make(data).sample_tasks(0, 13) == drawn[:13]
    assert {task.partition("#")[0] for task in drawn[:4]} == {NAME.format(number) for number in range(4)}
    everything = {f"{NAME.format(number)}#{way}" for number in range(4) for way in range(number + 1)}
    assert Counter(drawn[:10]) == Counter(drawn[10:20]) == Counter(everything)
    firsts = {tuple(sorted(env.sample_tasks(seed, 4))) for seed in range(20)}
    assert len(firsts) > 5
    assert env.reset(seed=3)[1]["task"] == env.sample_tasks(3, 1)[0]


def test_a_game_given_by_its_path_gets_the_seeds_annotation(data: Path) -> None:
    env, path = make(data), data / "json_2.1.1" / NAME.format(3) / "game.tw-pddl"
    tasks = [env.reset(seed=seed, options={"game": path})[1]["task"] for seed in range(12)]
    assert tasks == [env.reset(seed=seed, options={"game": path})[1]["task"] for seed in range(12)]
    assert {task.partition("#")[0] for task in tasks} == {NAME.format(3)}
    assert len(set(tasks)) > 1


def test_the_expert_says_that_it_does_not_understand_and_others_play(data: Path) -> None:
    env = make(data)
    for player in ("random", "oracle", "planner"):
        text, info = env.reset(seed=1)
        assert env.players[player](env, 0).act(text, info) in info["admissible_commands"]
    text, info = env.reset(seed=1)
    with pytest.raises(InputError, match="goals=template, or another player"):
        env.players["expert"](env, 0).act(text, info)


def test_marks_that_the_grammar_cannot_carry_become_spaces(tmp_path: Path) -> None:
    game = annotate(tiny.write(tmp_path), "Cook a potato & return it. ", '\n;a "b" {c}\\n#d#\b', " it's (a clock?)")
    assert human_goals(game) == ("Cook a potato & return it. .", "  a  b   c  n d  .", " it's (a clock?).")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "which is not there"),
        ("[]", "JSON object"),
        ("{", "not a complete annotation file"),
        ("{}", "no annotations"),
        ('{"turk_annotations": []}', "no annotations"),
        ('{"turk_annotations": {"anns": []}}', "no annotations"),
        ('{"turk_annotations": {"anns": {"0": 1}}}', "no annotations"),
        ('{"turk_annotations": {"anns": ["put"]}}', "'task_desc' should be"),
        ('{"turk_annotations": {"anns": [{"task_desc": " "}]}}', "'task_desc' should be"),
        ('{"turk_annotations": {"anns": [{"task_desc": 7}]}}', "'task_desc' should be"),
        ('{"turk_annotations": {"anns": [{"task_desc": "' + "x" * 2000 + '"}]}}', "at most 1000"),
        ("[" * 100_000, "not a complete annotation file"),
        ("\x00\x00", "not a complete annotation file"),
    ],
)
def test_missing_and_malformed_annotations_are_named(data: Path, content: str | None, said: str) -> None:
    path = data / "json_2.1.1" / NAME.format(0) / "traj_data.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        make(data).sample_tasks(0, 4)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["turk_annotations", "anns", "task_desc", "x"]), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_any_annotation_file_gives_goals_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    game = tmp_path_factory.mktemp("game") / "game.tw-pddl"
    game.with_name("traj_data.json").write_text(json.dumps(content))
    try:
        goals = human_goals(game)
    except InputError as error:
        check_one_line(error)
        return
    assert goals
    assert all(goal.isprintable() or not goal.isascii() for goal in goals)


def test_an_annotation_file_without_end_is_called_by_its_name(data: Path) -> None:
    path = data / "json_2.1.1" / NAME.format(0) / "traj_data.json"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(InputError, match=r"cannot read the annotation file .* has more than 8 MB"):
        make(data).sample_tasks(0, 4)


def check_one_line(error: InputError) -> None:
    assert "\n" not in str(error)


def test_what_has_no_annotations_is_refused(data: Path) -> None:
    with pytest.raises(InputError, match=r"goals=human is for real games"):
        ALFWorld(data="generated", goals="human")
    with pytest.raises(InputError, match="goals"):
        ALFWorld(data=str(data), goals="robot")
    with pytest.raises(InputError, match=r"2 annotations, #0 to #1; there is no #2"):
        make(data).reset(options={"task": f"{NAME.format(1)}#2"})
    for name in (f"{NAME.format(1)}#-1", f"{NAME.format(1)}#", f"{NAME.format(1)}#{'9' * 50}"):
        with pytest.raises(InputError, match="unknown task"):
            make(data).reset(options={"task": name})


def test_real_annotations(alfworld_data: Path) -> None:
    env = make(alfworld_data, split="valid_seen")
    tasks = env.sample_tasks(0, 140)
    assert len({task.partition("#")[0] for task in tasks}) == 140
    endings: Counter[bool] = Counter()
    for task in tasks[:40]:
        info = env.reset(options={"task": task})[1]
        name, _, number = task.rpartition("#")
        path = alfworld_data / "json_2.1.1" / name / "traj_data.json"
        written = json.loads(path.read_text())["turk_annotations"]["anns"][int(number)]["task_desc"]
        assert info["goal"].split() == f"{written}.".split()
        endings[info["goal"].endswith("..")] += 1
        for command in env.solution():
            info = env.step(command)[4]
        assert info["won"]
    assert endings[True]


def test_the_stock_engine_tells_the_same_goals(alfworld_data: Path) -> None:
    pytest.importorskip("alfworld", reason="the stock engine is absent: pip install 'keystone-rl[alfworld]'")
    native = make(alfworld_data, split="valid_seen")
    stock = make(alfworld_data, split="valid_seen", engine="reference")
    for task in native.sample_tasks(4, 1):
        assert stock.reset(options={"task": task}) == native.reset(options={"task": task})
        for command in native.solution():
            assert stock.step(command) == native.step(command)


def test_games_that_the_stock_tool_wrote_with_an_annotation_are_read(tmp_path: Path) -> None:
    grammar = TASK_LINE.sub('"Your task is to: Turn on the lamp, it is dark. ."', tiny.GRAMMAR)
    assert grammar_fingerprint(grammar) == dialects.grammar_fingerprint(tiny.GRAMMAR)
    path = tiny.write(tmp_path, grammar=grammar)
    text, _ = ALFWorld(data="generated").reset(options={"game": path})
    assert text.endswith("Your task is to: Turn on the lamp, it is dark. .")
