"""ScienceWorld's tasks: names, splits, draws and the choice of commands. Nothing here needs Java."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from envs.scienceworld.commands import admissible
from envs.scienceworld.environment import ScienceWorldConfig
from envs.scienceworld.tasks import SIMPLIFICATIONS, SPLITS, VARIATIONS, Task, read_task, sample, variations

kinds = st.sampled_from(sorted(VARIATIONS))


def test_every_variation_is_of_one_split():
    for kind, number in VARIATIONS.items():
        parts = [list(variations(kind, split)) for split in SPLITS]
        assert list(chain.from_iterable(parts)) == list(range(number))
        assert all(parts)
        assert abs(len(parts[0]) - number / 2) <= 3


@given(kinds, st.integers(0, 9), st.sets(st.sampled_from(SIMPLIFICATIONS[1:])))
def test_a_name_says_all_that_there_is_to_a_task(kind: str, variation: int, easier: set[str]):
    task = Task(kind, tuple(name for name in SIMPLIFICATIONS if name in easier), variation)
    assert read_task(task.name) == task


@given(st.lists(kinds, min_size=1, max_size=4, unique=True), st.integers(0, 2**31), st.integers(0, 60))
def test_draws_go_through_the_kinds_in_turn_and_repeat_nothing_early(chosen: list[str], seed: int, number: int):
    drawn = sample(chosen, (), "dev", seed, number)
    assert drawn == sample(chosen, (), "dev", seed, number + 7)[:number]
    first = drawn[: sum(len(variations(kind, "dev")) for kind in chosen)]
    assert len(set(first)) == len(first)
    assert {read_task(name).kind for name in drawn[: len(chosen)]} == set(chosen[: len(drawn)]) or number < len(chosen)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("boil", "Tasks are named KIND/VARIATION, such as boil/12"),
        ("boli/1", "unknown ScienceWorld task 'boli'. Did you mean 'boil'?"),
        ("boil/30", "boil has variations 0 to 29"),
        ("boil/-1", "is no number of a variation"),
        ("boil/03", "is no number of a variation"),
        ("boil/opendoors/3", "unknown simplification 'opendoors'. Did you mean 'openDoors'?"),
        ("boil/openDoors+openContainers/3", "it is written 'boil/openContainers+openDoors/3'"),
        ("power-component/noElectricalAction/3", "power-component needs electrical actions"),
        ("boil//3", "unknown simplification ''"),
    ],
)
def test_what_is_not_quite_a_name_is_one_clear_line(name: str, line: str):
    with pytest.raises(InputError) as error:
        read_task(name)
    assert line in str(error.value)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"task": "boyl"}, "unknown ScienceWorld task 'boyl'. Did you mean 'boil'?"),
        ({"split": "valid"}, "unknown split 'valid'. Allowed: dev, test, train"),
        ({"simplifications": ("openDors",)}, "Did you mean 'openDoors'?"),
        ({"simplifications": "noElectricalAction"}, "needs electrical actions: leave noElectricalAction out"),
        ({"commands": -1}, "commands should be a whole number of at least 0, got -1"),
        ({"max_turns": 0}, "max_turns should be a whole number of at least 1, got 0"),
        ({"deadline": float("nan")}, "deadline should be a number of at least 1, got nan"),
        ({"reward": "score"}, "unknown reward 'score'"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options: dict[str, object], line: str):
    with pytest.raises(InputError) as error:
        ScienceWorldConfig(**options)  # type: ignore[arg-type]
    assert line in str(error.value)


def test_tasks_and_simplifications_are_put_in_order():
    config = ScienceWorldConfig(task=("melt", "boil"), simplifications=("openDoors", "openContainers"))
    assert config.kinds == ("boil", "melt")
    assert config.simplifications == ("openContainers", "openDoors")
    assert ScienceWorldConfig(task=tuple(VARIATIONS)).task == ()
    assert ScienceWorldConfig(simplifications=("openDoors", "easy")).simplifications == ("easy",)


def test_the_package_knows_these_tasks(real_data: Path):
    listed = json.loads((real_data / "scienceworld" / "tasks.json").read_text(encoding="utf-8"))
    assert {task["task_name"] for task in listed} == set(VARIATIONS)


def test_commands_of_use_are_listed_first():
    def action(text: str, *things: int) -> dict[str, object]:
        return {"action": text, "template_id": 0, "obj_ids": things}

    useful = ["look around", "open door", "pick up cup", "put down pot", "focus on cup", "move pot to stove"]
    useful += ["connect battery anode to red wire"]
    things = {"pot": 1, "cup": 2, "door": 3, "stove": 4}
    valid = [action(text, *(things[word] for word in text.split() if word in things)) for text in useful]
    valid += [action(f"connect cup to thing {number}", 2, number) for number in range(500)]
    valid += [action(f"move cup to thing {number}", 2, number) for number in range(500)]
    valid += [action("reset task"), action("look at cup", 2)]
    text = json.dumps({"validActions": valid})
    assert admissible(text, len(useful)) == sorted(useful)
    assert "look at cup" in admissible(text, 20)
    assert len(admissible(text, 20)) == 20
    assert set(admissible(text, 20)) < set(admissible(text, 40))
    assert not any(listed.startswith("connect cup") for listed in admissible(text, 40))
    assert admissible(text, 5000) == sorted({str(one["action"]) for one in valid} - {"reset task"})
