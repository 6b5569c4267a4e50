"""A small tokenizer for a small model, made from the text it will read and write.

Text worlds say the same things around changing names: "You arrive at cabinet 1. The cabinet 1 is closed.". So the
vocabulary holds numbered names ("cabinet 1"), whole phrases (what stands between them, if frequent), words with their
leading space, and all 256 bytes, which makes it lossless on any text. To name a thing is then to copy one token, an
episode is half as long as with words alone, and a command is three to six tokens. Where numbers are calculated with
rather than names of things, each digit is a token of its own. The squares of a drawn board are tokens of their own as
well. The result is an ordinary `tokenizer.json` that `AutoTokenizer` reads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

NAME = re.compile(r" ?[a-z]+ \d+")
SENTENCE = re.compile(r"(?<=[.:?!])(?= )|(?<=\n)(?=[^\n])|(?<=[^\n])(?=\n)")
WORD = re.compile(r" ?[^\W\d_]+| ?\d+")
DIGIT = re.compile(r" ?\d")
SYMBOL = re.compile(r" (?:[^\w\s]|_)")
END = "<|end|>"
PAD = "<|pad|>"


def phrases(texts: Iterable[str], names: re.Pattern[str] = NAME) -> Counter[str]:
    """Counts the fragments between names and between sentences; what is drawn rather than said is none.

    Args:
        texts: what is read and said.
        names: what separates fragments beside the ends of sentences: numbered names ("cabinet 1"), or digits.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        for between in names.split(text):
            counts.update(piece for piece in SENTENCE.split(between) if 1 < len(piece) < 4 or _is_said(piece))
    return counts


def _is_said(fragment: str) -> bool:
    return any(character.isalpha() for character in fragment)


def words(texts: Iterable[str], digits: bool = False) -> Counter[str]:
    """Counts words and symbols, each with the space before it, and with them digits, or numbers and numbered names."""
    counts: Counter[str] = Counter()
    for text in texts:
        found = WORD.findall(text)
        counts.update(word for word in found if not digits or not word[-1].isdigit())
        counts.update(DIGIT.findall(text) if digits else NAME.findall(text))
        counts.update(SYMBOL.findall(text))
    return counts


def build_tokenizer(
    texts: list[str], *, min_phrase: int, min_word: int, max_length: int, digits: bool = False
) -> PreTrainedTokenizerFast:
    """Builds the tokenizer.

    Args:
        texts: whole episodes as text.
        min_phrase: occurrences that make a fragment one token.
        min_word: occurrences that make a word, number or numbered name one token.
        max_length: the model's context, in tokens.
        digits: whether each digit is a token, rather than each frequent number and numbered name.

    Returns:
        A tokenizer with end-of-reply `<|end|>` and padding `<|pad|>`.
    """
    counted = phrases(texts, DIGIT if digits else NAME)
    fragments = [text for text, count in counted.items() if count >= min_phrase]
    single = [text for text, count in words(texts, digits).items() if count >= min_word]
    units = sorted(set(fragments) | set(single), key=lambda text: (-len(text), text))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(alphabet)}
    encode = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for unit in units:
        vocabulary.setdefault("".join(piece for piece, _ in encode.pre_tokenize_str(unit)), len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    multi = [re.escape(text) for text in units if not WORD.fullmatch(text) and not SYMBOL.fullmatch(text)]
    guarded = [text + (r"(?!\w)" if text[-1].isalnum() else "") for text in multi]
    numbers = DIGIT.pattern if digits else r" ?\d+"
    pattern = "|".join([*guarded, r" ?[^\W\d_]+", numbers, SYMBOL.pattern, r"\s+", "."])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), behavior="isolated"), encode]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
