"""Reading a model's tokenizer as its files say.

Transformers 5 takes the tokenizer class of some types of model (Qwen2) whatever `tokenizer_config.json` names. That
class builds its own splitting of text around the vocabulary, so that a tokenizer of another kind in such a folder is
read without an error and gives other tokens than those that the model knows.
"""

from __future__ import annotations

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config

# The names of the class that is nothing but `tokenizer.json`, in Transformers 4 and 5.
_PLAIN = ("PreTrainedTokenizerFast", "TokenizersBackend")


def load_tokenizer(path: str, *, local: bool) -> PreTrainedTokenizerBase:
    """Loads a tokenizer; where the files name no class but the plain one, `tokenizer.json` is all there is to it.

    Args:
        path: a model's folder or hub id.
        local: whether the network is not asked.

    Raises:
        OSError, ValueError: there is none that Transformers can read.
    """
    named = get_tokenizer_config(path, local_files_only=local).get("tokenizer_class")
    cls = PreTrainedTokenizerFast if named in _PLAIN else AutoTokenizer
    tokenizer: PreTrainedTokenizerBase = cls.from_pretrained(path, local_files_only=local, trust_remote_code=False)
    return tokenizer
