"""The small tokenizer: lossless on any text, and one token for a numbered name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from agents.policies.transformers import load
from training.architectures import build_model
from training.vocabulary import END, build_tokenizer
from training.warmstart import ShapeConfig

TEXTS = [
    "You are in a room. You see a desk 1, a desk 2, and a mug 12.\n\n>",
    " go to desk 1",
    "You arrive at desk 1. On the desk 1, you see a mug 12.\n\n>",
    " take mug 12 from desk 1",
] * 10


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(TEXTS, min_phrase=10, min_word=5, max_length=128)


TOKENIZER = build_tokenizer(TEXTS, min_phrase=10, min_word=5, max_length=128)


@given(st.text(max_size=80))
def test_any_text_survives(text: str):
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text


def test_numbered_names_and_phrases_are_single_tokens(tokenizer: PreTrainedTokenizerFast):
    assert tokenizer.tokenize(" take mug 12 from desk 1") == ["Ġtake", "ĠmugĠ12", "Ġfrom", "ĠdeskĠ1"]
    assert len(tokenizer.encode("You arrive at desk 1.")) == 3


def test_digits_are_tokens_of_their_own_where_numbers_are_calculated_with():
    sums = ["What is 31 + 79?\n\n>", " 30 + 70 = 100\n#### 110"] * 20
    made = build_tokenizer(sums, min_phrase=10, min_word=5, max_length=128, digits=True)
    assert made.tokenize(" 31 + 79") == ["\u01203", "1", "\u0120+", "\u01207", "9"]
    assert made.decode(made.encode(sums[1])) == sums[1]
    assert not any(any(c.isdigit() for c in token) and len(token.lstrip("\u0120")) > 1 for token in made.get_vocab())


def test_the_squares_of_a_board_are_tokens_of_their_own():
    board = "# # # #\n# @ _ #\n# # # #\nYou are at row 2, column 2."
    made = build_tokenizer([board] * 40, min_phrase=10, min_word=5, max_length=128)
    assert made.tokenize("# @ _ #\n") == ["#", "\u0120@", "\u0120_", "\u0120#", "\u010a"]


def test_a_longer_number_is_not_split_after_a_known_one(tokenizer: PreTrainedTokenizerFast):
    ids = tokenizer.encode(" desk 17")
    assert tokenizer.decode(ids) == " desk 17"
    assert "ĠdeskĠ1" not in tokenizer.convert_ids_to_tokens(ids)


def test_it_is_an_ordinary_folder(tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
    assert again.eos_token == END
    assert again.model_max_length == 128


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
def test_it_is_read_as_it_is_whatever_the_model(family: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    # Transformers takes Qwen2's own class for every folder of a Qwen2 model, which gives other tokens.
    shape = ShapeConfig(family=family, blocks=1)  # type: ignore[arg-type]
    end = len(tokenizer) - 1
    build_model(shape, len(tokenizer), end, end).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    read = load(str(tmp_path))[1]
    assert [read.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]
    assert (read.eos_token, read.model_max_length) == (END, 128)
    read.save_pretrained(tmp_path)
    assert load(str(tmp_path))[1].encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
