"""From replies to commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.parsing import MAX_ACTION_CHARACTERS, MAX_TEXT_CHARACTERS, Parsed, parse
from agents.types import Format


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (" go to door", Parsed("go to door", True)),
        ("\n  go   to\tdoor \nand then", Parsed("go to door", True)),
        ("", Parsed("", False)),
        (" \n ", Parsed("", False)),
        ("x" * 1000, Parsed("x" * MAX_ACTION_CHARACTERS, True)),
    ],
)
def test_plain(reply: str, expected: Parsed) -> None:
    assert parse(reply, Format.PLAIN) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I go. <action>go to door</action>", Parsed("go to door", True)),
        ("<action>wait</action> no: <ACTION>\n open door\n</ACTION>", Parsed("open door", True)),
        ("go to door", Parsed("go to door", False)),
        ("<action>go to", Parsed("<action>go to", False)),
        ("<action>  </action>", Parsed("<action> </action>", False)),
        ("first line\nsecond", Parsed("first line second", False)),
        ("<think><action>wait</action></think> <action>open door</action>", Parsed("open door", True)),
        ("<think><action>wait</action></think> hm", Parsed("<think><action>wait</action></think> hm", False)),
        (
            "<action>open door</action> <Think>or <action>wait</action>?",
            Parsed("<action>open door</action> <Think>or <action>wait</action>?", False),
        ),
    ],
)
def test_chat(reply: str, expected: Parsed) -> None:
    assert parse(reply, Format.CHAT) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("\ndef f():\n    return  1\n\n", Parsed("def f():\n    return  1", True)),
        (" \n", Parsed("", False)),
        ("<think>\n1 + 1?\n</think>\n\n2", Parsed("2", True)),
        ("<think>\n1 + 1?", Parsed("", False)),
        ("x" * (MAX_TEXT_CHARACTERS + 1), Parsed("x" * MAX_TEXT_CHARACTERS, True)),
    ],
)
def test_whole(reply: str, expected: Parsed) -> None:
    assert parse(reply, Format.WHOLE) == expected


@given(st.text(), st.sampled_from([Format.PLAIN, Format.CHAT]))
def test_any_text_gives_a_short_tidy_command(reply: str, reply_format: Format) -> None:
    action, ok = parse(reply, reply_format)
    assert len(action) <= MAX_ACTION_CHARACTERS
    assert action == " ".join(action.split())
    assert ok <= bool(action)
    assert bool(action) == bool(reply.strip())


@given(
    st.text(st.characters(exclude_characters="<>", exclude_categories=["Z", "C"]), min_size=1, max_size=50), st.text()
)
def test_chat_finds_the_command_behind_any_thought(command: str, thought: str) -> None:
    assert parse(f"{thought}<action>{command}</action>", Format.CHAT) == Parsed(command, True)
