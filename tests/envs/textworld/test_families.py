"""Families of TextWorld games: options, names and splits. Nothing here needs the library."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from envs.textworld.environment import TextWorldConfig
from envs.textworld.families import SPLITS, Family, MadeTask, is_made, task_name
from envs.textworld.tasks import TaskSource

cooking = st.builds(
    lambda recipe, take, **rest: Family(recipe=recipe, take=min(take, recipe), **rest),
    recipe=st.integers(1, 5),
    take=st.integers(0, 5),
    go=st.sampled_from([1, 6, 9, 12]),
    **{name: st.booleans() for name in ("open", "cook", "cut", "drop")},
)
others = st.one_of(
    st.builds(Family, family=st.just("coin_collector"), level=st.integers(1, 150)),
    st.builds(Family, family=st.just("treasure_hunter"), level=st.integers(1, 30)),
    st.builds(Family, family=st.just("simple"), objective=st.sampled_from(["detailed", "brief", "none"])),
)
families = cooking | others


@given(families, st.sampled_from(SPLITS), st.integers(0, 10**12))
def test_a_name_says_all_that_there_is_to_a_game(family: Family, split: str, number: int):
    name = task_name(family, split, number)
    assert is_made(name)
    task = MadeTask(name)
    assert (task.family, task.split, task.number) == (family, split, number)


@given(families, st.integers(0, 10**6))
def test_no_two_splits_or_numbers_share_their_draws(family: Family, number: int):
    names = [task_name(family, split, number + more) for split in SPLITS for more in range(3)]
    draws = [tuple(MadeTask(name).seeds(attempt).values()) for name in names for attempt in range(2)]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize(
    "name",
    [
        "cooking",
        "cooking/recipe=1,take=1,go=6/train",
        "cooking/recipe=1,take=1,go=6/dev/1",
        "cooking/recipe=1,take=1,go=6/train/01",
        "cooking/recipe=1,take=1,go=6/train/-1",
        "cooking/take=1,recipe=1,go=6/train/1",
        "cooking/recipe=one,take=1,go=6/train/1",
        "cooking/recipe=1,take=2,go=6/train/1",
        "cooking/level=5/train/1",
        "coin_collector/level=5,level=5/train/1",
        "coin_collector/level/train/1",
        "coin_collector//train/1",
        "poker/level=5/train/1",
    ],
)
def test_what_is_not_quite_a_name_is_refused(name: str):
    with pytest.raises(InputError):
        MadeTask(name)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"family": "coking"}, "unknown family 'coking'. Did you mean 'cooking'?"),
        ({"level": 3}, "family=cooking has no option level. Its options: recipe, take"),
        ({"family": "simple", "recipe": 3}, "family=simple has no option recipe. Its options: objective."),
        ({"family": "treasure_hunter", "level": 31}, "level of family=treasure_hunter should be at most 30, got 31"),
        ({"family": "coin_collector", "level": 199}, "has 198 rooms, and games can have 100. Allowed: 1 to 150 and"),
        ({"recipe": 2, "take": 3}, "take=3 should be at most recipe=2"),
        ({"go": 7}, "unknown go '7'"),
        ({"split": "test2"}, "unknown split 'test2'. Did you mean 'test'?"),
        ({"reward": "wins"}, "unknown reward 'wins'. Did you mean 'win'?"),
        ({"games": 0}, "games should be a whole number of at least 1, got 0"),
        ({"data": "x", "recipe": 3}, "recipe is for made games, and data=x names game files"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options: dict[str, object], line: str):
    with pytest.raises(InputError) as error:
        TextWorldConfig(**options)  # type: ignore[arg-type]
    assert line in str(error.value)


def test_a_split_has_so_many_games_and_gives_each_once_before_any_again():
    source = TaskSource("", "train", Family(), 7)
    for seed in range(3):
        drawn = source.sample(seed, 20)
        assert len(set(drawn[:7])) == len(set(drawn[7:14])) == len(set(drawn)) == 7
    assert source.sample(0, 7) != source.sample(1, 7)
    others = {name for split in SPLITS[1:] for name in TaskSource("", split, Family(), 7).sample(0, 7)}
    assert not others & set(source.sample(0, 7))


def test_every_option_belongs_to_a_family():
    changed = {"level": 9, "objective": "brief", "go": 9, "recipe": 2, "take": 0}
    for field in dataclasses.fields(Family)[1:]:
        value = changed.get(field.name, True)
        stated = [
            (field.name if value is True else f"{field.name}={value}")
            in Family(family=family, **{field.name: value}).label
            for family in ("cooking", "coin_collector", "treasure_hunter", "simple")
            if _has(family, field.name, value)
        ]
        assert stated
        assert all(stated)


def _has(family: str, name: str, value: object) -> bool:
    try:
        Family(family=family, **{name: value})  # type: ignore[arg-type]
    except InputError:
        return False
    return True
