"""The text around observations and replies, and how it becomes ids."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.dialogue import Dialogue
from agents.prompts import PLAIN_FRAME, Manner, chat_frame, manner_of, message
from agents.types import Format
from envs.errors import InputError
from envs.types import TextEnv
from tests.agents.models import byte_tokenizer

COMMANDS = ["go to door", "open door"]
INSTRUCTIONS = manner_of(TextEnv).instructions
FREE = Manner("Solve it.", free_text=True)


def render(messages: list[dict[str, str]]) -> str:
    return "<s>" + "".join(f"[{each['role']}]{each['content'].strip()}</s>" for each in messages) + "[assistant]"


def test_a_plain_prompt_ends_where_the_reply_starts() -> None:
    assert PLAIN_FRAME.opening == PLAIN_FRAME.bridge == ("", "\n\n>")
    assert message(" You see a lamp .\n", COMMANDS, Format.PLAIN, INSTRUCTIONS) == "You see a lamp ."


def test_a_chat_message_lists_the_commands_and_the_first_one_the_instructions() -> None:
    later = message("You see a lamp .", COMMANDS, Format.CHAT, "")
    assert later == "You see a lamp .\n\nAdmissible commands: go to door, open door"
    assert message("You see a lamp .", COMMANDS, Format.CHAT, INSTRUCTIONS) == f"{INSTRUCTIONS}\n\n{later}"
    assert "Admissible" not in message("The end", [], Format.CHAT, "")


def test_a_chat_frame_is_what_the_template_puts_around_the_texts() -> None:
    frame = chat_frame(render)
    assert frame.opening == ("<s>[user]", "</s>[assistant]")
    assert frame.bridge == ("</s>[user]", "</s>[assistant]")
    opening = frame.opening[0] + "Hello" + frame.opening[1]
    assert opening + "Hi" + frame.bridge[0] + "More" + frame.bridge[1] == render(
        [{"role": role, "content": text} for role, text in [("user", "Hello"), ("assistant", "Hi"), ("user", "More")]]
    )


def test_a_template_that_loses_a_message_is_refused() -> None:
    with pytest.raises(InputError, match="word for word"):
        chat_frame(lambda messages: render(messages[-1:]))


def test_a_template_without_an_end_of_reply_is_refused() -> None:
    tokenizer = byte_tokenizer(chat=True)
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}A:"
    )
    with pytest.raises(InputError, match="special token after a reply"):
        Dialogue(tokenizer)


def test_a_tokenizer_without_an_end_of_sequence_is_refused() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="end-of-sequence"):
        Dialogue(tokenizer)


@pytest.mark.parametrize("chat", [False, True])
@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=4))
def test_the_parts_together_are_the_conversation(chat: bool, observations: list[str]) -> None:
    tokenizer = byte_tokenizer(chat)
    dialogue = Dialogue(tokenizer)
    ids, expected = list(dialogue.opening(observations[0], COMMANDS)), ""
    said = dialogue.spoken("go to door")
    messages = [{"role": "user", "content": message(observations[0], COMMANDS, dialogue.format, INSTRUCTIONS)}]
    for observation in observations[1:]:
        ids += [*said, *dialogue.bridge(observation, COMMANDS, said[-1])]
        messages.append({"role": "assistant", "content": "<action>go to door</action>"})
        messages.append({"role": "user", "content": message(observation, COMMANDS, dialogue.format, "")})
    if chat:
        expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    else:
        expected = "\n\n> go to door\n".join(each["content"] for each in messages if each["role"] == "user") + "\n\n>"
    assert tokenizer.decode(ids) == expected


@pytest.mark.parametrize("chat", [False, True])
def test_a_reply_that_was_cut_off_is_ended_by_the_bridge(chat: bool) -> None:
    dialogue = Dialogue(byte_tokenizer(chat))
    said = dialogue.spoken("go to door")
    assert said[-1] == dialogue.end
    ended = dialogue.bridge("You see a key .", COMMANDS, said[-1])
    assert dialogue.bridge("You see a key .", COMMANDS, said[-2]) == (dialogue.end, *ended)


@pytest.mark.parametrize("chat", [False, True])
def test_the_text_of_a_reply_leaves_its_end_out(chat: bool) -> None:
    dialogue = Dialogue(byte_tokenizer(chat))
    text = "<action>open door</action>" if chat else "open door"
    assert dialogue.text(dialogue.spoken("open door")) == dialogue.text(dialogue.spoken("open door")[:-1]) == text


def test_a_plain_reply_also_ends_at_a_line_break() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    dialogue = Dialogue(tokenizer)
    line_break = tokenizer.convert_tokens_to_ids("Ċ")
    assert dialogue.end == tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert dialogue.stops == {dialogue.end, line_break}
    assert dialogue.bridge("key", [], line_break) == dialogue.bridge("key", [], dialogue.end)


def test_a_world_says_how_it_is_spoken_to() -> None:
    class Riddles(TextEnv):
        instructions = "Solve it."
        free_text = True

    assert manner_of(Riddles) == FREE
    assert not manner_of(TextEnv).free_text
    assert manner_of(TextEnv).instructions.startswith(TextEnv.instructions)
    assert "<action>" in manner_of(TextEnv).instructions


@pytest.mark.parametrize("chat", [False, True])
def test_free_text_has_lines_and_no_marks(chat: bool) -> None:
    tokenizer = byte_tokenizer(chat)
    tokenizer.eos_token = "<|endoftext|>"
    dialogue = Dialogue(tokenizer, FREE)
    program = "def f(x):\n    return x + 1"
    said = dialogue.spoken(program)
    assert dialogue.text(said) == program
    assert not dialogue.stops.intersection(said[:-1])
    opening = tokenizer.decode(dialogue.opening("Add one.", []))
    assert ("Solve it.\n\nAdd one." in opening) == chat
    assert "Admissible" not in opening
