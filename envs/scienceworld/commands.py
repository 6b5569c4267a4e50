"""Which of ScienceWorld's valid actions are listed as admissible.

In a room full of things there are thousands, nearly all of them pairs such as "connect table to orange". Listed are, up
to a number that is an option, in this order: what handles one thing or moves about; what is done with a thing in hand,
connects electrical parts or focuses; what looks, eats, mixes; other pairs; other connections. Of the rank that no
longer fits, those are listed whose hash comes first, so that the same state always lists the same. What is not listed
can be played all the same. "reset task", which throws away what was reached, is never listed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from functools import lru_cache
from typing import Any

_HANDLING = frozenset(
    ("open", "close", "go", "teleport", "pick", "put", "activate", "deactivate", "read", "wait", "wait1", "inventory")
)
_PAIRS = frozenset(("move", "pour", "dunk", "use"))
_CONNECTING = frozenset(("connect", "disconnect"))
_NEVER = "reset task"
_ELECTRICAL = (
    "battery",
    "wire",
    "bulb",
    "switch",
    "buzzer",
    "motor",
    "generator",
    "panel",
    "terminal",
    "anode",
    "cathode",
)


def admissible(valid: str, most: int) -> list[str]:
    """Chooses the actions to list.

    Args:
        valid: the simulator's valid actions, JSON as `getValidActionObjectCombinationsJSON` gives it.
        most: how many to list at most.

    Returns:
        The actions, sorted.
    """
    actions = json.loads(valid)["validActions"]
    in_hand = {action["obj_ids"][0] for action in actions if action["action"].startswith("put down ")}
    ranks = {action["action"]: _rank(action, in_hand) for action in actions if action["action"] != _NEVER}
    chosen: list[str] = []
    for rank in sorted(set(ranks.values())):
        of_rank = [action for action, its in ranks.items() if its == rank]
        left = most - len(chosen)
        chosen += of_rank if len(of_rank) <= left else sorted(of_rank, key=_hash)[:left]
    return sorted(chosen)


def _rank(action: dict[str, Any], in_hand: Collection[int]) -> int:
    words = action["action"].split()
    if words[0] in _HANDLING or action["action"] == "look around":
        return 0
    if words[0] in _CONNECTING:
        sides = action["action"].partition(" ")[2].split(" to ")
        return 1 if all(map(_is_electrical, sides)) else 4
    if words[0] in _PAIRS:
        return 1 if action["obj_ids"][0] in in_hand else 3
    return 1 if words[0] == "focus" else 2


@lru_cache(maxsize=4096)
def _is_electrical(thing: str) -> bool:
    return any(part in thing for part in _ELECTRICAL)


def _hash(action: str) -> bytes:
    return hashlib.sha256(action.encode()).digest()
