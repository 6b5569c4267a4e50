"""A growing conversation as token ids.

The context of an episode is prompt ids + sampled ids + bridge ids + sampled ids + ...: every part is encoded once,
when it is appended, and sampled ids are kept as they are. So what was sampled is what is trained on, also where
decoding and encoding again would give other ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from agents.prompts import PLAIN_FRAME, Frame, Manner, chat_frame, manner_of, message
from agents.types import Format
from envs.errors import InputError, first_line
from envs.types import TextEnv

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Observations and replies repeat much ("Nothing happens."), and encoding one costs as much as a forward pass of a tiny
# model.
_REMEMBERED = 1 << 16


class Dialogue:
    """Turns observations into ids to append, and sampled ids into text, for one tokenizer.

    Attributes:
        format: CHAT if the tokenizer has a chat template, else PLAIN.
        end: id that ends a reply: in PLAIN the tokenizer's end-of-sequence token, in CHAT what the template puts after
            one.
        stops: ids at which sampling stops: `end`, the end-of-sequence token, and in PLAIN also a line break where a
            reply is a command.
        window: how many earlier turns a prompt tells again; None where an episode is one growing sequence.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, manner: Manner | None = None) -> None:
        """Reads the tokenizer's template and special tokens.

        Args:
            tokenizer: the model's tokenizer.
            manner: how the worlds are spoken to; by default as `TextEnv` says.

        Raises:
            InputError: the tokenizer has no end-of-sequence token, or its template does not mark the end of a reply.
        """
        if tokenizer.eos_token_id is None:
            raise InputError(
                "this model's tokenizer names no end-of-sequence token; set eos_token in its tokenizer_config.json."
            )
        self._tokenizer = tokenizer
        self._manner = manner or manner_of(TextEnv)
        self.window = self._manner.window
        self._encode = lru_cache(_REMEMBERED)(self._encode_text)
        self._decode = lru_cache(_REMEMBERED)(self._decode_ids)
        self.format = Format.CHAT if tokenizer.chat_template else Format.PLAIN
        self._begun = ""
        if self.format is Format.CHAT:
            self._frame = chat_frame(self._render)
            self.end = self._find_end(self._frame)
            self._begun = "<think>" if self._frame.bridge[1].rstrip().endswith("<think>") else ""
            self.stops = frozenset({self.end, tokenizer.eos_token_id})
        else:
            self._frame = PLAIN_FRAME
            self.end = tokenizer.eos_token_id
            line_break = self._encode("\n")
            ends_line = len(line_break) == 1 and not self._manner.free_text
            self.stops = frozenset({self.end, *(line_break if ends_line else ())})

    def opening(self, observation: str, admissible_commands: Sequence[str]) -> tuple[int, ...]:
        """Ids of the first prompt: everything up to where the first reply starts."""
        before, after = self._frame.opening
        text = message(observation, admissible_commands, self.format, self._manner.instructions)
        ids = self._encode(before + text + after)
        return (*self._start(), *ids)

    def bridge(self, observation: str, admissible_commands: Sequence[str], last: int) -> tuple[int, ...]:
        """Ids between two replies.

        Args:
            observation: what the environment answered to the reply.
            admissible_commands: the commands that would do something now.
            last: the last id of the reply. If sampling was cut off before an end, the end comes first in the result.

        Returns:
            The ids to append.
        """
        before, after = self._frame.bridge
        ids = self._encode(before + message(observation, admissible_commands, self.format, "") + after)
        if self.format is Format.CHAT:
            return ids[1:] if last == self.end else ids
        return ids if last in self.stops else (self.end, *ids)

    def spoken(self, command: str) -> tuple[int, ...]:
        """Ids of a reply that gives `command`, its end included: what a demonstration says."""
        marked = self.format is Format.CHAT and not self._manner.free_text
        text = f"<action>{command}</action>" if marked else command
        return (*self._encode(self._frame.lead + text), self.end)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of a reply without its end; it begins with the `<think>` that the template wrote for it, if any."""
        ids = tuple(tokens[:-1]) if tokens and tokens[-1] in self.stops else tuple(tokens)
        return self._begun + self._decode(ids)

    def _start(self) -> tuple[int, ...]:
        # Templates write their own start of sequence; in plain text the tokenizer says whether models expect one.
        start = self._tokenizer.bos_token_id
        if self.format is Format.CHAT or start is None or start not in self._tokenizer.encode(""):
            return ()
        return (start,)

    def _find_end(self, frame: Frame) -> int:
        first = self._encode(frame.bridge[0])[:1]
        starts = bool(first) and frame.bridge[0].startswith(str(self._tokenizer.decode(list(first))))
        if not starts or first[0] not in self._special_ids():
            raise InputError("this model's chat template puts no special token after a reply; use another model.")
        return first[0]

    def _special_ids(self) -> set[int]:
        return {id for id, token in self._tokenizer.added_tokens_decoder.items() if token.special}

    def _render(self, messages: list[dict[str, str]]) -> str:
        # Templates that know no thinking ignore the word; those that do have defaults of their own.
        known: dict[str, Any] = (
            {} if self._manner.thinking == "auto" else {"enable_thinking": self._manner.thinking == "on"}
        )
        try:
            return str(
                self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **known)
            )
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"this model's chat template cannot be rendered: {first_line(error)}.") from None

    def _encode_text(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _decode_ids(self, ids: tuple[int, ...]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)).strip()
