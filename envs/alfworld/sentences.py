"""The task lines of ALFWorld's six task types, as its games word them.

The generator writes them and the exploring expert understands them. Left out: lines written by annotators
(`envs.alfworld.goals`), which nothing here understands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from envs.errors import InputError, shortened

SENTENCES: Mapping[str, tuple[str, str]] = {
    "pick_and_place_simple": ("put a {object} in {target}.", "put some {object} on {target}."),
    "look_at_obj_in_light": ("look at {object} under the {target}.", "examine the {object} with the {target}."),
    "pick_clean_then_place_in_recep": (
        "put a clean {object} in {target}.",
        "clean some {object} and put it in {target}.",
    ),
    "pick_heat_then_place_in_recep": ("put a hot {object} in {target}.", "heat some {object} and put it in {target}."),
    "pick_cool_then_place_in_recep": ("put a cool {object} in {target}.", "cool some {object} and put it in {target}."),
    "pick_two_obj_and_place": ("put two {object} in {target}.", "find two {object} and put them in {target}."),
}
"""Both ways to word each task type."""


class Request(NamedTuple):
    """What a task line asks for.

    Attributes:
        task_type: one of ALFWorld's six names.
        object_kind: the kind of object as the game says it, for example "mug".
        target_kind: the kind of receptacle, or of lamp.
    """

    task_type: str
    object_kind: str
    target_kind: str


_PATTERNS = [
    (task_type, re.compile(template.replace(".", r"\.").format(object="([a-z]+)", target="([a-z]+)")))
    for task_type, templates in SENTENCES.items()
    for template in templates
]


def understand(sentence: str) -> Request:
    """Reads a task line, without "Your task is to: ".

    Raises:
        InputError: it is worded like none of the six task types.
    """
    for task_type, pattern in _PATTERNS:
        match = pattern.fullmatch(sentence.strip())
        if match:
            return Request(task_type, match[1], match[2])
    raise InputError(
        f"the task {shortened(sentence)!r} is worded like none of ALFWorld's: {', '.join(SENTENCES)}. Lines written by"
        " annotators (goals=human) are beyond the expert; give goals=template, or another player."
    )
