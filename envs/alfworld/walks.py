"""Walks: seeded sequences of commands that try every side of a game, for comparing engines.

A walk chooses its commands from what the engine itself says, so either engine can lead. The kinds: `mixed` wins by the
walkthrough with harmless and invalid commands strewn in, wanders on after the win and lets the exploring expert take
over; `walkthrough`, `expert`, `random` and `invalid` are its parts alone; `long` wanders for 200 commands.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from envs.alfworld.experts import ExploringExpert
from envs.errors import unknown

LENGTHS = {"mixed": 60, "walkthrough": 40, "expert": 50, "random": 100, "invalid": 60, "long": 200}
"""Commands of each kind of walk."""
_INVALID = (
    "",
    "   ",
    "\t",
    "look around",
    "LOOK",
    "take",
    "go to",
    "go to nowhere 1",
    "examine",
    "open  ",
    "move mug 1 to",
    "put mug 1 in/on desk 1",
    "move mug 1 to desk 1",
    "heat apple 1",
    "slice bread 1 with",
    "use",
    "xyzzy",
    "help me",
    "inventory\nlook",
    "gehe zu Tür 1",
    "{r.name}",
    "#look#",
    "take all",
    "x" * 300,
)
_SHARE_ASIDE = 0.35
_SHARE_WRONG = 0.15
_EXPERT_TURNS = 15


class Walk:
    """One walk through one game.

    Attributes:
        length: how many commands it gives.
    """

    def __init__(self, kind: str, name: str, solution: Sequence[str]) -> None:
        """Prepares a walk.

        Args:
            kind: a key of `LENGTHS`.
            name: of the game; keys every draw together with the kind.
            solution: commands that win the game.

        Raises:
            InputError: there is no such kind.
        """
        if kind not in LENGTHS:
            raise unknown("walk", kind, LENGTHS)
        self.length = LENGTHS[kind]
        self._kind = kind
        self._draw = random.Random(f"{kind} walk of {name}")
        self._left = list(reversed(solution))
        self._expert = ExploringExpert(None, 0)
        self._turn = -1

    def next(self, text: str, commands: Sequence[str]) -> str:
        """Chooses the next command.

        Args:
            text: what the game said last, at first its first text.
            commands: the admissible commands, sorted.
        """
        self._turn += 1
        if self._turn == 0:
            self._plan = self._expert.act(text)
        return {
            "mixed": self._mixed,
            "walkthrough": self._walkthrough,
            "expert": self._ask_expert,
            "random": lambda text, commands: self._one_of(commands),
            "invalid": self._invalid,
            "long": self._long,
        }[self._kind](text, commands)

    def _mixed(self, text: str, commands: Sequence[str]) -> str:
        if self._left:
            return self._aside(commands) if self._draw.random() < _SHARE_ASIDE else self._left.pop()
        if self._turn >= self.length - _EXPERT_TURNS:
            return self._ask_expert(text, commands)
        return self._wander(commands)

    def _walkthrough(self, text: str, commands: Sequence[str]) -> str:
        return self._left.pop() if self._left else self._wander(commands)

    def _ask_expert(self, text: str, commands: Sequence[str]) -> str:
        return self._plan if self._turn == 0 else self._expert.act(text)

    def _invalid(self, text: str, commands: Sequence[str]) -> str:
        return self._wrong(commands) if self._draw.random() < 0.75 else self._by_verb(commands)

    def _long(self, text: str, commands: Sequence[str]) -> str:
        # A stretch of play towards the goal now and then leads to states that chance alone seldom finds.
        if self._turn and self._turn % 50 < _EXPERT_TURNS:
            return self._ask_expert(text, commands)
        return self._wander(commands)

    def _wander(self, commands: Sequence[str]) -> str:
        return self._wrong(commands) if self._draw.random() < _SHARE_WRONG else self._by_verb(commands)

    def _aside(self, commands: Sequence[str]) -> str:
        """A command that leads nowhere: it only tells something, or it is not admissible."""
        telling = [command for command in commands if command.split()[0] in ("look", "inventory", "help", "examine")]
        return self._wrong(commands) if self._draw.random() < 0.4 else self._one_of(telling)

    def _by_verb(self, commands: Sequence[str]) -> str:
        """An admissible command, each verb equally likely."""
        verb = self._one_of(sorted({command.split()[0] for command in commands}))
        return self._one_of([command for command in commands if command.split()[0] == verb])

    def _wrong(self, commands: Sequence[str]) -> str:
        """A command that is not admissible, or an admissible one written oddly."""
        command = self._by_verb(commands)
        first, _, rest = command.partition(" ")
        return self._one_of(
            (
                *_INVALID,
                command.upper(),
                command.title(),
                f"  {command}\t\n",
                f"{first}  {rest}",
                f"{command}.",
                command[:-1],
                f"{first} {rest.rpartition(' ')[0]} 99",
            )
        )

    def _one_of(self, choices: Sequence[str]) -> str:
        # Only random() is promised to draw the same in every Python version.
        return choices[int(self._draw.random() * len(choices))]
