"""A small tokenizer for a small model, made from the text it will read and write.

Text worlds say the same things around changing names: "You arrive at cabinet 1. The cabinet 1 is closed.". So the
vocabulary holds numbered names ("cabinet 1"), whole phrases (what stands between them, if frequent), words with their
leading space, and all 256 bytes, which makes it lossless on any text. To name a thing is then to copy one token, an
episode is half as long as with words alone, and a command is three to six tokens. The result is an ordinary
`tokenizer.json` that `AutoTokenizer` reads.
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
END = "<|end|>"
PAD = "<|pad|>"


def phrases(texts: Iterable[str]) -> Counter[str]:
    """Counts the fragments between numbered names ("cabinet 1") and between sentences."""
    counts: Counter[str] = Counter()
    for text in texts:
        for between in NAME.split(text):
            counts.update(fragment for fragment in SENTENCE.split(between) if len(fragment) > 1)
    return counts


def words(texts: Iterable[str]) -> Counter[str]:
    """Counts words, numbers and numbered names, each with the space before it."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(WORD.findall(text))
        counts.update(NAME.findall(text))
    return counts


def build_tokenizer(texts: list[str], *, min_phrase: int, min_word: int, max_length: int) -> PreTrainedTokenizerFast:
    """Builds the tokenizer.

    Args:
        texts: whole episodes as text.
        min_phrase: occurrences that make a fragment one token.
        min_word: occurrences that make a word, number or numbered name one token.
        max_length: the model's context, in tokens.

    Returns:
        A tokenizer with end-of-reply `<|end|>` and padding `<|pad|>`.
    """
    fragments = [text for text, count in phrases(texts).items() if count >= min_phrase]
    single = [text for text, count in words(texts).items() if count >= min_word]
    units = sorted(set(fragments) | set(single), key=lambda text: (-len(text), text))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(alphabet)}
    encode = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for unit in units:
        vocabulary.setdefault("".join(piece for piece, _ in encode.pre_tokenize_str(unit)), len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    multi = [re.escape(text) for text in units if not WORD.fullmatch(text)]
    guarded = [text + (r"(?!\w)" if text[-1].isalnum() else "") for text in multi]
    pattern = "|".join([*guarded, r" ?[^\W\d_]+", r" ?\d+", r"\s+", "."])
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
