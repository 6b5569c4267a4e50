"""Configuration: the order of layers, types and limits, error lines, saving and running again, help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import presets
from envs.command import run_command
from envs.config import load, save
from envs.config_help import help_text
from envs.config_schema import Group, group, key
from envs.errors import InputError
from envs.registry import environment_key

WORLD = "tests.envs.corridor:Corridor"


@dataclass(frozen=True)
class Oven:
    name: str = key("", "which oven")
    degrees: float = key(180.0, "temperature", unit="degrees", minimum=0, maximum=300)
    fan: bool = key(False, "hot air")


@dataclass(frozen=True)
class Dough:
    rests: int = key(2, "how often it rests", minimum=0)


@dataclass(frozen=True)
class BakeConfig:
    aliases: ClassVar[Mapping[str, str]] = {"length": "env.length", "data": "env.data"}

    env: Any = environment_key("where", preset=WORLD)
    oven: Oven = group("the oven", Group("gas", Oven))
    recipe: str = key("", "a recipe", presets="recipe")
    loaves: int = key(1, "how many", unit="loaves", minimum=1)
    flour: Literal["rye", "wheat"] = key("rye", "kind of flour")
    topping: str | None = key(None, "what goes on top")
    label: str = key("", "what is written on it")
    sizes: tuple[float, ...] = key((1.0, 2.0), "sizes of the loaves")
    seeds: tuple[str, ...] = key((), "what is strewn on it")
    dough: Dough = field(default_factory=Dough)


@pytest.fixture(scope="module", autouse=True)
def preset_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("configs")
    for name, text in {
        "oven/gas": "oven: {degrees: 200}",
        "oven/wood": "oven: {degrees: 280}\ndough: {rests: 3}",
        "oven/broken": "oven: {degreees: 3}",
        "oven/variant": "oven: {name: gas, fan: true}",
        "recipe/rolls": "oven: wood\nloaves: 12\nflour: wheat",
        "recipe/list": "- 1",
        "recipe/bread": "oven:\n  name: wood\n  degrees: 150.0\nloaves: 3",
    }.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presets, "FOLDER", folder)
        yield folder


def bake(*words: str) -> BakeConfig:
    return load(BakeConfig, words)


def test_one_name_stands_for_the_list_of_it():
    assert list(bake("seeds=poppy").seeds) == list(bake("seeds=[poppy]").seeds) == ["poppy"]
    assert list(bake("seeds=[]").seeds) == []


def test_presets_come_before_keys_in_whatever_order_they_are_typed():
    assert bake().oven.degrees == 200
    assert bake("oven=wood").oven == Oven("wood", 280.0)
    assert bake("oven.degrees=90", "oven=wood").oven.degrees == 90
    assert bake("dough.rests=1", "oven=wood").dough.rests == 1
    assert bake("oven=wood", "oven=gas").oven.degrees == 200


WORDS = ["oven=wood", "oven.fan=true", "recipe=rolls", "loaves=3", "env.length=5", "label=a", "dough.rests=0"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(WORDS), unique=True), st.randoms())
def test_the_order_of_words_never_matters(words: list[str], random: Any):
    shuffled = list(words)
    random.shuffle(shuffled)
    assert bake(*shuffled) == bake(*words)


def test_a_recipe_sets_keys_and_chooses_presets_and_yields_to_what_is_typed():
    rolls = bake("recipe=rolls")
    assert (rolls.oven.name, rolls.oven.degrees, rolls.loaves, rolls.flour) == ("wood", 280, 12, "wheat")
    assert bake("recipe=rolls", "oven=gas").oven == Oven("gas", 200.0)
    assert bake("recipe=rolls", "loaves=2").loaves == 2


def test_a_recipe_may_choose_a_preset_and_change_some_of_it():
    bread = bake("recipe=bread")
    assert (bread.oven, bread.dough.rests, bread.loaves) == (Oven("wood", 150.0), 3, 3)
    assert bake("recipe=bread", "oven.degrees=90").oven == Oven("wood", 90.0)
    assert bake("recipe=bread", "oven=gas").oven == Oven("gas", 150.0)


def test_a_preset_may_stand_for_a_variant_of_another_name():
    assert bake("oven=variant").oven == Oven("gas", 180.0, True)


@settings(max_examples=30, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "loaves": st.integers(1, 10**6).map(str),
            "oven.degrees": st.floats(0, 300).map(repr),
            "label": st.text(st.characters(codec="utf-8", exclude_characters="$"), max_size=8),
            "topping": st.sampled_from(["null", "seeds", "on", "1e3"]),
            "sizes": st.sampled_from(["[1,2,3]", "[]", "[1e-3]"]),
            "oven": st.sampled_from(["wood", "gas"]),
            "recipe": st.just("rolls"),
        },
    )
)
def test_a_saved_configuration_runs_again_identically(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, str]):
    first = bake(*(f"{name}={value}" for name, value in keys.items()))
    path = tmp_path_factory.mktemp("run") / "config.yaml"
    save(first, path)
    assert bake(f"config={path}") == first


def test_what_is_typed_wins_over_a_saved_configuration(tmp_path: Path):
    path = tmp_path / "config.yaml"
    save(bake("oven=wood", "oven.degrees=250", "loaves=4", "env.length=7"), path)
    assert bake(f"config={path}", "loaves=5").loaves == 5
    assert bake("oven=wood", f"config={path}").oven.degrees == 250
    assert bake("oven=gas", f"config={path}").oven == Oven("gas", 200.0)
    assert bake(f"config={path}", "recipe=rolls").loaves == 12
    assert bake(f"config={path}").env.length == 7


def test_a_file_written_by_hand_chooses_as_the_command_line_does(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("oven: wood\nloaves: 3\n")
    assert bake(f"config={path}") == bake("oven=wood", "loaves=3")


def test_text_is_taken_as_typed():
    config = bake("label=010", "topping=null")
    assert (config.label, config.topping) == ("010", None)
    assert bake("label=a=b").label == "a=b"
    assert bake("label=true").label == "true"


def test_numbers_lists_and_short_names():
    config = bake("oven.degrees=1e2", "sizes=[3,4]", "length=9")
    assert (config.oven.degrees, config.sizes, config.env.length) == (100.0, (3.0, 4.0), 9)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("loavs=2", "unknown key 'loavs'. Did you mean 'loaves'?"),
        ("degrees=2", "unknown key 'degrees'. Did you mean 'oven.degrees'?"),
        ("oven.degres=2", "unknown key 'oven.degres'. Did you mean 'oven.degrees'?"),
        ("zzz=2", "unknown key 'zzz'. --help lists every key."),
        ("data=x", "unknown key 'data' (short for 'env.data')."),
        ("dough=2", "'dough' is a group of keys. Write dough.KEY=VALUE."),
        ("oven.name=wood", "'oven.name' cannot be set by itself. Write oven=wood."),
        ("oven=wod", "unknown oven 'wod'. Did you mean 'wood'? Allowed: broken, gas, variant, wood."),
        ("oven=", "unknown oven ''."),
        ("oven=broken", "unknown key 'oven.degreees' (in configs/oven/broken.yaml). Did you mean 'oven.degrees'?"),
        ("env=alfwrld", "unknown env 'alfwrld'. Did you mean 'alfworld'?"),
        ("env=no_such_package.zork:Zork", "needs the module 'no_such_package', which is neither installed nor in"),
        ("env=zork:Zork:Zork", "named my_package.module:Class, got 'zork:Zork:Zork'"),
        ("recipe=roll", "unknown recipe 'roll'. Did you mean 'rolls'?"),
        ("recipe=list", "must hold `key: value` lines"),
        ("loaves=0", "loaves must be a whole number of at least 1, got '0'."),
        ("loaves=2.5", "loaves must be a whole number of at least 1, got '2.5'."),
        ("loaves=true", "loaves must be a whole number of at least 1, got 'true'."),
        ("loaves=", "loaves must be a whole number of at least 1, got ''."),
        ("loaves=[1", "loaves must be a whole number of at least 1, got '[1'."),
        ("oven.fan=maybe", "oven.fan must be true or false, got 'maybe'."),
        ("oven.degrees=nan", "oven.degrees must be a number from 0 to 300, got 'nan'."),
        ("oven.degrees=301", "got '301'."),
        ("flour=wheet", "flour must be one of rye, wheat, got 'wheet'. Did you mean 'wheat'?"),
        ("env.light=drk", "env.light must be one of lit, dark, got 'drk'. Did you mean 'dark'?"),
        ("sizes=[a]", "sizes must be a list such as [1,2], got '[a]'."),
        ("sizes=3", "sizes must be a list such as [1,2], got '3'."),
        ("label=${nothing}", "label must be text, got '${nothing}'."),
        ("loaves", "expected key=value, got 'loaves'."),
        ("--loaves=2", "expected key=value, got '--loaves=2'. Write loaves=2."),
        ("=2", "expected key=value, got '=2'."),
        ("config=nowhere.yaml", "cannot read the configuration file 'nowhere.yaml': No such file or directory."),
    ],
)
def test_a_bad_word_is_answered_in_one_line(word: str, line: str, capsys: pytest.CaptureFixture[str]):
    code = run_command("bake", BakeConfig, lambda config: pytest.fail("ran"), description="Bakes.", argv=[word])
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert line in said.err


@pytest.mark.parametrize(
    "text", ["a: [", "\xff\xfe", "loafs: 3", "oven: wod", "oven: 3", "oven: {name: wood, fan: high}", "3"]
)
def test_a_bad_file_is_named(text: str, tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError):
        bake(f"config={path}")


def test_help_lists_every_key_with_its_value_unit_and_meaning():
    text = help_text("bake", BakeConfig, ["oven=wood"], "Bakes.")
    assert max(map(len, text.splitlines())) <= 100
    for row in ("oven=wood", "oven.degrees=280", "loaves=1", "flour=rye", "topping=null", "dough.rests=3"):
        assert f"  {row} " in text, row
    assert "[loaves]" in text
    assert "(rye | wheat)" in text
    assert "env.length=3" in text
    assert "short for env.length=" in text
    assert "env.data" not in text


def test_exit_codes(capsys: pytest.CaptureFixture[str]):
    def interrupted(config: BakeConfig) -> None:
        raise KeyboardInterrupt

    assert run_command("bake", BakeConfig, lambda config: None, description="", argv=[]) == 0
    assert run_command("bake", BakeConfig, lambda config: 1, description="", argv=[]) == 1
    assert run_command("bake", BakeConfig, interrupted, description="", argv=[]) == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C.\n"
    assert run_command("bake", BakeConfig, interrupted, description="", argv=["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: bake ")
