r"""What the model reads: pure functions from observations to text, in two formats.

*Plain*, for models trained on transcripts: `{observation}\n\n> {reply}{end}{observation}\n\n> {reply}{end}...`. The
prompt stops right after ">" and the reply starts with a space, because byte-pair tokenizers put a space in front of a
word, not behind one. So no token has to span the border between what was given and what was said.

*Chat*, for models with a chat template: each observation is a user message that lists the admissible commands, the
first one after the instructions, and each reply an assistant message with the command in `<action>...</action>`.

In a world of free text (`TextEnv.free_text`) there are no commands to list and no marks to put around one: the reply is
the action.

With the full context a conversation only grows at its end. With a window each turn is its own prompt, which tells the
task and the last turns again, without what was thought in them (`recalled`; as the published GiGPO code does with two
turns, arXiv 2505.10978, in words of our own). What stands between a reply and the next one is therefore cut out of one
rendering of the template with marks in place of the texts, and a template is never asked to render a reply again (many
would change it: strip it, drop its reasoning). Left out: system messages, which some templates refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agents.types import Format
from envs.errors import InputError
from envs.types import TextEnv

HOW_TO_REPLY = (
    "First think about your next move in a sentence or two. Then give exactly one admissible command, "
    "between <action> and </action>, and nothing after it."
)

FULL_CONTEXT = "full"
_FIRST, _REPLY, _NEXT = "\u27e6first\u27e7", "\u27e6reply\u27e7", "\u27e6next\u27e7"

Template = Callable[[list[dict[str, str]]], str]


class Frame(NamedTuple):
    """The fixed text around what the environment and the policy say.

    Attributes:
        opening: text before and after the first message, up to where the reply starts.
        bridge: text before and after every later message, from the end of one reply to the start of the next. It
            begins with the end of the reply where the template writes one.
        lead: text that a reply starts with.
    """

    opening: tuple[str, str]
    bridge: tuple[str, str]
    lead: str


class Manner(NamedTuple):
    """How a kind of world is spoken to.

    Attributes:
        instructions: what a chat model is told before the first observation.
        free_text: whether a reply as a whole is the action.
        window: how many earlier turns a prompt tells again; None for one growing sequence an episode.
        thinking: "on" or "off" for a chat template that can turn thinking on or off; "auto" leaves it to the template.
    """

    instructions: str
    free_text: bool
    window: int | None = None
    thinking: str = "auto"


def manner_of(world: TextEnv | type[TextEnv], context: str = FULL_CONTEXT, *, thinking: str = "auto") -> Manner:
    """Says how an environment is spoken to.

    Args:
        world: the environment.
        context: "full", or "window:K" for prompts of their own that tell the last K turns again.
        thinking: "auto", "on" or "off", for models that can reply with and without thinking.

    Raises:
        InputError: no such context.
    """
    window = parse_context(context)
    if world.free_text:
        return Manner(world.instructions, True, window, thinking)
    return Manner(f"{world.instructions} {HOW_TO_REPLY}", False, window, thinking)


def parse_context(context: str) -> int | None:
    """The number of turns of a "window:K"; None for "full".

    Raises:
        InputError: it is neither.
    """
    name, _, turns = context.strip().lower().partition(":")
    if name == FULL_CONTEXT and not turns:
        return None
    if name == "window" and turns.isdecimal() and len(turns) < 7:
        return int(turns)
    raise InputError(f"context={context} is not known. Give full, or window:K with the number of turns, as window:2.")


PLAIN_FRAME = Frame(opening=("", "\n\n>"), bridge=("", "\n\n>"), lead=" ")


def chat_frame(template: Template) -> Frame:
    """Cuts the fixed text out of a chat template.

    Args:
        template: renders messages (each with "role" and "content") to text and adds the start of the next reply.

    Returns:
        The frame of that template.

    Raises:
        InputError: the template changes or leaves out what the messages say.
    """
    user = {"role": "user", "content": _FIRST}
    opening = template([user])
    whole = template([user, {"role": "assistant", "content": _REPLY}, {"role": "user", "content": _NEXT}])
    if opening.count(_FIRST) != 1 or whole.count(_REPLY) != 1 or whole.count(_NEXT) != 1:
        raise InputError(
            "this model's chat template does not render messages word for word; use a model with another one."
        )
    before, after = opening.split(_FIRST)
    bridge_before, bridge_after = whole.split(_REPLY)[1].split(_NEXT)
    return Frame(opening=(before, after), bridge=(bridge_before, bridge_after), lead="")


def recalled(observation: str, goal: str, past: Sequence[tuple[str, str]], taken: int, reply_format: Format) -> str:
    """What a prompt of its own tells: the task, the last turns, and what is seen now.

    Args:
        observation: what the environment said last.
        goal: the task in words.
        past: what was seen and done in the turns to tell again, oldest first.
        taken: number of turns so far.
        reply_format: PLAIN tells the turns as a transcript.

    Returns:
        The text that takes the observation's place; in the first turn the observation itself.
    """
    if not taken:
        return observation
    if reply_format is Format.PLAIN:
        turns = [f"{seen.strip()}\n\n> {done}\n" for seen, done in past]
        told = "".join(turns) + observation.strip()
        return told if len(past) == taken else f"Your task: {goal}\n\n{told}"
    turns = [f"You saw: {seen.strip()}\nYou did: {done}" for seen, done in past]
    recent = f" The last {len(past)}:" if past else ""
    parts = [f"Your task: {goal}", f"Turns so far: {taken}.{recent}", *turns, f"You see now: {observation.strip()}"]
    return "\n\n".join(parts)


def message(observation: str, admissible_commands: Sequence[str], reply_format: Format, instructions: str) -> str:
    """What the policy is told in one turn.

    Args:
        observation: what the environment said.
        admissible_commands: the commands that would do something now; shown in CHAT only.
        reply_format: PLAIN or CHAT.
        instructions: what CHAT begins with in the first turn; empty in later ones.

    Returns:
        The message, without white space around it.
    """
    text = observation.strip()
    if reply_format is Format.PLAIN:
        return text
    if admissible_commands:
        text = f"{text}\n\nAdmissible commands: {', '.join(admissible_commands)}"
    return f"{instructions}\n\n{text}" if instructions else text
