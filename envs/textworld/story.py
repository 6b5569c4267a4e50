"""One game played by TextWorld: its Z-machine interpreter, and its bookkeeping of facts beside it.

What the interpreter prints is tidied: no banner, no status line, no prompt, no menu after the end; the words stay. It
also knows commands that are not of the game: some save and restore, which its bookkeeping would not notice and which
write files, some print the whole world, and a full stop or "then" puts several commands into one. These are refused.
Left out: the description of room and inventory at every turn; "look" and "inventory" tell them.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.textworld.files import FACTS, check_story, load_facts
from envs.textworld.library import library

_BANNER = re.compile(r"\A(?:[ _|/\\$<>]*\n)*")
_STATUS = re.compile(r"\s*>?[ ]{20,}-= [^\n]*\Z")
_MENU = re.compile(r"\s*Would you like to RESTART,.*\Z", re.DOTALL)
_PROMPT = re.compile(r"\s*>\s*\Z")
_OUTSIDE = frozenset(("quit", "q", "restart", "restore", "save", "undo", "script", "noscript", "unscript"))
_DEBUGGING = frozenset(("transcript", "print_state", "enable", "disable", "restrict"))
_UNKNOWN = "That's not a verb I recognise."
_ONE_AT_A_TIME = "One command at a time, please."
_MOST_CHARACTERS = 150
"""Of a command; the interpreter cuts off what is longer than 198 bytes."""


class Story:
    """One game, open.

    Attributes:
        objective: the task in words.
        walkthrough: commands that win; empty if the file has none.
        kind: what TextWorld calls this sort of game; "" if it does not say.
    """

    def __init__(self, path: Path) -> None:
        """Opens a game.

        Args:
            path: of its `.z8`, with the `.json` beside it.

        Raises:
            MissingExtraError: TextWorld is not installed.
            InputError: one of the files is not what it should be.
        """
        textworld = library()
        check_story(path)
        game = load_facts(path.with_suffix(FACTS))
        self.objective = str(game.objective).strip()
        self.walkthrough = tuple(str(command) for command in game.walkthrough or ())
        self.kind = _kind(game)
        self._max_score = game.max_score
        self._environment = textworld.start(str(path), textworld.EnvInfos(admissible_commands=True))
        self._state: Any = None
        self._commands: list[str] = []

    def reset(self) -> str:
        """Starts again from the beginning and returns the first text."""
        self._environment.request_infos.policy_commands = False
        self._state = self._environment.reset()
        self._commands = []
        return _tidied(self._state.feedback)

    def step(self, command: str) -> str:
        """Plays one command and returns what the game says."""
        command = " ".join(command.split())
        refusal = None if command in self.admissible_commands() else _refusal(command)
        if refusal is not None:
            return refusal
        self._state, _, _ = self._environment.step(command)
        self._commands.append(command)
        return _tidied(self._state.feedback)

    def admissible_commands(self) -> list[str]:
        """Returns the commands that would do or tell something now, sorted."""
        return list(self._state["admissible_commands"])

    def policy(self) -> list[str]:
        """Returns commands that win from where the game stands; none if TextWorld knows no way.

        TextWorld keeps such a plan from the start of a game or not at all, and a step takes up to twice as long with
        it; so the game is played up to here again when first asked.
        """
        infos = self._environment.request_infos
        if not infos.policy_commands:
            infos.policy_commands = True
            self._state = self._environment.reset()
            for command in self._commands:
                self._state, _, _ = self._environment.step(command)
        return list(self._state["policy_commands"])

    @property
    def won(self) -> bool:
        """Whether the quests are done."""
        return bool(self._state["won"])

    @property
    def lost(self) -> bool:
        """Whether the game has ended otherwise."""
        return bool(self._state["lost"])

    @property
    def score(self) -> float:
        """The share of the points that there are which the player has, from 0 to 1."""
        return float(self._state["score"]) / self._max_score if self._max_score else 0.0

    def check_score(self, path: Path) -> None:
        """Makes sure that the game's points have an end.

        Args:
            path: of the game, for the error.

        Raises:
            InputError: a quest of the game pays again and again.
        """
        if self._max_score == float("inf"):
            raise InputError(f"the points of {path} have no end, so reward=score has no scale. Give reward=win.")

    def state_key(self) -> str:
        """Names the true state: a hash of all facts that hold."""
        facts = "\n".join(sorted(str(fact) for fact in self._state["_facts"]))
        return hashlib.sha256(facts.encode()).hexdigest()[:32]

    def close(self) -> None:
        """Ends the interpreter."""
        self._environment.close()


def _kind(game: Any) -> str:  # noqa: ANN401 - the library's own type
    uuid = re.match(r"tw-([a-z_]+)-", str(game.metadata.get("uuid", "")))
    return uuid[1] if uuid else ""


def _refusal(command: str) -> str | None:
    """Returns what to say to a command that the interpreter must not get; None if it may."""
    words = command.lower().replace(",", " ").split()
    if not command.isascii() or not command.isprintable() or len(command) > _MOST_CHARACTERS:
        return _UNKNOWN
    if any(word in _OUTSIDE or word in _DEBUGGING or word.startswith("tw-") for word in words):
        return _UNKNOWN
    return _ONE_AT_A_TIME if "." in command or "then" in words else None


def _tidied(feedback: str) -> str:
    text = _BANNER.sub("", feedback.replace("\r", ""))
    text = _PROMPT.sub("", _MENU.sub("", _STATUS.sub("", text)))
    lines = "\n".join(line.strip() if "*** " in line else line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()
