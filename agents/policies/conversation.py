"""One conversation of a language model, whatever samples its replies: what it is told next."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.dialogue import Dialogue
from agents.parsing import parse
from agents.prompts import recalled
from agents.types import EpisodeKey, Format
from envs.errors import InputError
from envs.types import Info


@dataclass(slots=True)
class Conversation:
    """A running conversation.

    Attributes:
        key: its key.
        turn: turns so far.
        past: what was seen and done in each turn, where prompts tell turns again.
    """

    key: EpisodeKey
    turn: int = 0
    past: list[tuple[str, str]] = field(default_factory=list)

    def prompt(self, dialogue: Dialogue, observation: str, info: Info, last: int | None) -> tuple[int, ...]:
        """Ids of its next prompt.

        Args:
            dialogue: turns text into ids.
            observation: what the environment said last.
            info: its `info`.
            last: the last id of the last reply; None if there was none. Not read where each turn has a prompt of its
                own.

        Returns:
            What to append to the sequence, or the whole sequence where each turn has a prompt of its own.
        """
        commands = info["admissible_commands"]
        if dialogue.window is not None and self.turn:
            past = self.past[max(len(self.past) - dialogue.window, 0) :]
            text = recalled(observation, info["goal"], past, len(self.past), dialogue.format)
            return dialogue.opening(text, commands)
        if last is None:
            return dialogue.opening(observation, commands)
        return dialogue.bridge(observation, commands, last)

    def note(self, dialogue: Dialogue, observation: str, text: str, reply_format: Format) -> None:
        """Remembers a turn where later prompts tell it again."""
        if dialogue.window is not None:
            self.past.append((observation, parse(text, reply_format).action))


def too_long(shortest: int, context: int, reply: int) -> InputError:
    """What is wrong where no first prompt fits.

    Args:
        shortest: tokens of the shortest prompt.
        context: tokens an episode may have.
        reply: tokens a reply may have.
    """
    return InputError(
        f"no first prompt fits the model: the shortest has {shortest} tokens, and of a context of {context} a reply "
        f"takes up to {reply} (max_reply_tokens). Allow shorter replies, or take a model with a longer context."
    )
