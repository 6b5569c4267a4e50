"""Options of every world, made in Python: whatever is given, it is taken or refused in one line."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envs.config_schema import check_values, expected, key, keys_of, takes_names
from envs.errors import InputError
from envs.files import check_name, named_path
from envs.registry import config_class, make, names

WITH_DATA = [name for name in names() if any(key.path == "data" for key in keys_of(config_class(name)()))]
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=3),
    st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)


@pytest.mark.parametrize("name", names())
@settings(max_examples=60)
@given(data=st.data())
def test_a_value_is_taken_or_refused_in_one_line(name: str, data):
    schema = config_class(name)
    option = data.draw(st.sampled_from(keys_of(schema())))
    value = data.draw(ANYTHING)
    said = "taken"
    try:
        schema(**{option.path: value})
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", names())
def test_a_number_in_the_place_of_a_text_and_the_other_way_round_is_refused(name: str):
    schema = config_class(name)
    for option in keys_of(schema()):
        wrong = 5 if option.type is str or takes_names(option.type) else "5"
        with pytest.raises(InputError, match=option.path):
            make(name, **{option.path: wrong})


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sokoban", {"max_turns": "5"}, "max_turns should be a whole number of at least 1, got '5'."),
        (
            "webshop",
            {"products": "50"},
            "products should be a whole number from 30 to 20,000, got '50'.",
        ),
        ("math", {"attempts": True}, "attempts should be a whole number of at least 1, got True."),
        ("alfworld", {"clutter": float("nan")}, "clutter should be a number from 0 to 10, got nan."),
        ("sokoban", {"split": "tran"}, "'tran'. Did you mean 'train'? Allowed: test, train, valid."),
        ("toy_text", {"options": ["is_rainy=[1"]}, "the value of 'is_rainy=[1' cannot be read: it is not YAML."),
    ],
)
def test_what_is_said_of_a_wrong_value(name: str, options, said: str):
    with pytest.raises(InputError) as raised:
        make(name, **options)
    assert str(raised.value).endswith(said)


def test_one_name_stands_for_the_list_of_it():
    assert config_class("math")(families="gcd").families == ("gcd",)
    assert config_class("toy_text")(id="Taxi-v3", options="is_rainy=true").make_options == {"is_rainy": True}


def test_a_literal_annotation_says_the_choices():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Config:
        size: Literal[1, 2] = key(1, "a size")
        speed: float | None = key(None, "a speed", minimum=0)

    Config.__init__.__globals__.setdefault("Literal", Literal)
    check_values(Config(size=2, speed=3))
    with pytest.raises(InputError, match=r"unknown size '3'.* Allowed: 1, 2"):
        check_values(Config(size=3))
    with pytest.raises(InputError, match="speed should be a number or null of at least 0, got -1"):
        check_values(Config(speed=-1))
    assert expected(keys_of(Config())[0]) == "one of 1, 2"


@pytest.mark.parametrize("name", WITH_DATA)
@pytest.mark.parametrize(
    "data", ["x" * 300, "ä" * 200, "a/" * 2500, "a\0b", "a\nb", "~nobody-of-that-name/x", "\ud800"]
)
def test_data_that_cannot_be_a_file_is_refused_in_one_line(name: str, data: str):
    with pytest.raises(InputError) as raised:
        make(name, data=data)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 400


@given(st.text(max_size=300))
@example("ä" * 127 + "a")
@example("ä" * 128)
def test_the_operating_system_takes_every_name_that_is_taken(tmp_path_factory, name: str):
    folder = tmp_path_factory.getbasetemp()
    try:
        check_name("data=", name)
    except InputError:
        return
    assert (folder / "no-such-folder" / name.lstrip("/")).exists() is False


def test_a_home_folder_is_meant_by_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_path("data=", "~/x") == tmp_path / "x"
    assert named_path("data=", "x") == Path("x")
