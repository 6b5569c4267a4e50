"""From a reply to a command.

Pure functions. A reply that holds no command is no error: its text goes to the environment as it is, shortened, and the
environment answers as it answers any command it does not understand. The turn is marked invalid.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from agents.types import Format

MAX_ACTION_CHARACTERS = 200
MAX_TEXT_CHARACTERS = 1 << 16

_ACTION = re.compile(r"<action>(.*?)</action>", re.DOTALL | re.IGNORECASE)
_THINKING = re.compile(r"<(/?)think>", re.IGNORECASE)


class Parsed(NamedTuple):
    """What was read out of a reply.

    Attributes:
        action: the command for the environment.
        ok: whether the reply had the form asked for.
    """

    action: str
    ok: bool


def parse(reply: str, reply_format: Format) -> Parsed:
    """Reads the command out of a reply.

    Args:
        reply: all the policy said in one turn, without the end-of-reply token.
        reply_format: PLAIN takes the first line that is not empty, CHAT the last `<action>...</action>` behind what
            stands between `<think>` and `</think>`, so that a model may think aloud about other actions first (a
            thought that never ends holds none), WHOLE the reply without its thoughts.

    Returns:
        The command on one line, runs of white space made one space, at most `MAX_ACTION_CHARACTERS` long. Without a
        command, the same of the whole reply, and `ok=False`. In WHOLE the lines stay, without white space around them,
        at most `MAX_TEXT_CHARACTERS`.
    """
    if reply_format is Format.WHOLE:
        text = spoken(reply).strip()[:MAX_TEXT_CHARACTERS]
        return Parsed(text, bool(text))
    found = _ACTION.findall(spoken(reply)) if reply_format is Format.CHAT else reply.strip().splitlines()[:1]
    if reply_format is Format.CHAT:
        found = found[-1:]
    action = _tidy(found[0]) if found else ""
    return Parsed(action, True) if action else Parsed(_tidy(reply), False)


def spoken(reply: str) -> str:
    """What a reply says when it has done thinking: nothing, if it never has."""
    marks = list(_THINKING.finditer(reply))
    if not marks:
        return reply
    return reply[marks[-1].end() :] if marks[-1].group(1) else ""


def _tidy(text: str) -> str:
    return " ".join(text.split())[:MAX_ACTION_CHARACTERS].rstrip()
