"""Published chat templates with the real Qwen tokenizer: what is sampled is what is trained on, id for id."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer

from agents.dialogue import Dialogue
from agents.parsing import parse
from agents.prompts import Manner, manner_of, message
from agents.types import Format
from envs.errors import InputError
from envs.types import TextEnv

SPECIAL = [
    *("<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<start_of_turn>", "<end_of_turn>", "<bos>", "<|user|>", "<|assistant|>", "<|end|>", "<|system|>"),
]
"""Marks of Qwen's, Llama 3's, Gemma's and Phi 3's templates."""
ENDS = {
    **dict.fromkeys(("qwen2_5", "qwen3", "qwen3_instruct_2507", "qwen3_5_nothink", "qwen3_5_think"), "<|im_end|>"),
    **dict.fromkeys(("llama3", "llama3_1", "llama3_2"), "<|eot_id|>"),
    **{"gemma": "<end_of_turn>", "gemma3": "<end_of_turn>", "phi3": "<|end|>", "lfm2": "<|im_end|>"},
}
BEGUN = {"qwen3_5_nothink": "<think>\n\n</think>\n\n", "qwen3_5_think": "<think>\n"}
COMMANDS = ["go to desk 1", "take pen 2 from desk 1"]
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


def template(name: str) -> str:
    found = importlib.util.find_spec("trl")
    if found is None or found.origin is None:
        pytest.skip("the templates are in TRL: pip install 'keystone-rl[trl]'")
    return (Path(found.origin).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def qwen(real_data: Path) -> PreTrainedTokenizerBase:
    folder = real_data / "qwen"
    merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    return Qwen2Tokenizer(
        vocab=json.loads((folder / "vocab.json").read_text(encoding="utf-8")),
        merges=[tuple(line.split()) for line in merges if line and not line.startswith("#version")],
        bos_token="<|begin_of_text|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL,
    )


def conversation(dialogue: Dialogue, observations: list[str], replies: list[tuple[int, ...]]) -> list[int]:
    ids = list(dialogue.opening(observations[0], COMMANDS))
    for observation, said in zip(observations[1:], replies, strict=True):
        ids += [*said, *dialogue.bridge(observation, COMMANDS, said[-1])]
    return ids


@pytest.mark.parametrize("name", ENDS)
def test_the_parts_together_are_what_the_template_renders(name: str, qwen: PreTrainedTokenizerBase):
    """The frame around a reply is the template's own."""
    qwen.chat_template = template(name)
    dialogue = Dialogue(qwen)
    assert dialogue.format is Format.CHAT
    assert qwen.convert_ids_to_tokens(dialogue.end) == ENDS[name]
    reply = "<action>go to desk 1</action>"
    said = (*qwen.encode(reply, add_special_tokens=False), dialogue.end)
    ids = conversation(dialogue, ["A room.", "A desk."], [said])
    instructions = manner_of(TextEnv).instructions
    messages = [
        {"role": "user", "content": message("A room.", COMMANDS, Format.CHAT, instructions)},
        {"role": "assistant", "content": reply},
        {"role": "user", "content": message("A desk.", COMMANDS, Format.CHAT, "")},
    ]
    expected = qwen.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    # What a template wrote before a reply it leaves out when it renders that reply again; the model did read it.
    assert qwen.decode(ids) == expected.replace(reply, BEGUN.get(name, "") + reply)


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "llama3_2"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(observations=st.lists(TEXT, min_size=2, max_size=4), seed=st.integers(0, 2**32 - 1), cut=st.booleans())
def test_sampled_ids_are_never_encoded_again(
    name: str, observations: list[str], seed: int, cut: bool, qwen: PreTrainedTokenizerBase
):
    """Any ids may be sampled: those of a text as its tokenizer would never write it are kept as they are."""
    qwen.chat_template = template(name)
    dialogue, random = Dialogue(qwen), np.random.default_rng(seed)
    replies = [
        (*random.integers(0, 151643, random.integers(1, 9)).tolist(), *([] if cut else [dialogue.end]))
        for _ in observations[1:]
    ]
    ids, place = conversation(dialogue, observations, replies), 0
    for index, said in enumerate(replies):
        prompt = dialogue.opening(observations[0], COMMANDS) if not index else ()
        place += len(prompt)
        assert tuple(ids[place : place + len(said)]) == said
        bridge = dialogue.bridge(observations[index + 1], COMMANDS, said[-1])
        assert (bridge[0] == dialogue.end) == cut
        place += len(said) + len(bridge)
    assert place == len(ids)


def test_thinking_can_be_turned_off_where_the_template_can(qwen: PreTrainedTokenizerBase):
    qwen.chat_template = template("qwen3")
    on, off = (Dialogue(qwen, Manner("Do it.", False, None, thinking)) for thinking in ("on", "off"))
    assert qwen.decode(on.opening("A room.", [])).endswith("<|im_start|>assistant\n")
    closed = "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert qwen.decode(off.opening("A room.", [])).endswith(closed)
    assert qwen.decode(off.bridge("A desk.", [], off.end)).endswith(closed)


def test_a_thought_that_the_template_begins_counts_as_thought(qwen: PreTrainedTokenizerBase):
    qwen.chat_template = template("qwen3_5_think")
    dialogue = Dialogue(qwen)

    def read(text: str) -> tuple[str, bool]:
        said = (*qwen.encode(text, add_special_tokens=False), dialogue.end)
        return tuple(parse(dialogue.text(said), dialogue.format))

    assert read("Maybe <action>wait</action>? No.\n</think>\n<action>go to desk 1</action>") == ("go to desk 1", True)
    assert not read("Maybe <action>wait</action>, maybe not")[1]


def test_a_template_that_breaks_is_named(qwen: PreTrainedTokenizerBase):
    qwen.chat_template = "{{ raise_exception('no users here') }}"
    with pytest.raises(InputError, match="chat template cannot be rendered: no users here"):
        Dialogue(qwen)
