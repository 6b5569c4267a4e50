"""`python -m envs.play env=NAME`: try an environment by hand, or watch one of its players.

Each line is a command for the world, but for some words. An empty line lists the admissible commands. `undo` takes the
last command back, `hint` asks the world's expert, `quit` ends (as does Ctrl-D); where the world has such a command of
its own, the word is the world's. Where actions are free text, an answer may have several lines: a line that holds only
a dot ends it, and the words are taken as its first line.

Undoing plays the same task again without the last command, as tasks replay exactly. The expert gives its hint in a
second copy of the world, which is brought to where the first one stands.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError, unknown
from envs.registry import ENVIRONMENT_ALIASES, environment_key, make_from
from envs.types import Info, TextEnv

_WORDS = ("hint", "quit", "undo")
_ADVISERS = ("planner", "oracle", "expert")


@dataclass(frozen=True)
class PlayConfig:
    """Keys of `envs.play`."""

    aliases: ClassVar[Mapping[str, str]] = ENVIRONMENT_ALIASES

    env: Any = environment_key("the environment to play")
    player: str = key("me", "who plays: me (you type), or one of the environment's players, such as random or expert")
    task: str = key("", "the task to play; by default the first of the seed")
    seed: int = key(0, "keys the task and the player", minimum=0)


class Session:
    """One episode that can be taken back.

    Attributes:
        env: the environment.
        text: what it said last.
        reward: what the last command paid.
        info: what it said beside.
        ended: whether the episode is over.
        commands: those given so far.
    """

    def __init__(self, env: TextEnv, task: str, seed: int) -> None:
        """Starts the episode.

        Args:
            env: the environment.
            task: the task's name; empty takes the first of the seed.
            seed: of the task.

        Raises:
            InputError: there is no such task.
        """
        self.env = env
        self.text, self.info = env.reset(seed=seed, options={"task": task} if task else None)
        self.reward, self.ended = 0.0, False
        self.commands: list[str] = []

    def step(self, command: str) -> None:
        """Gives a command."""
        self.commands.append(command)
        self.text, self.reward, terminated, truncated, self.info = self.env.step(command)
        self.ended = terminated or truncated

    def undo(self) -> bool:
        """Takes the last command back. Returns False if there is none."""
        kept = self.commands[:-1]
        if not self.commands:
            return False
        self.text, self.info = self.env.reset(options={"task": self.info["task"]})
        self.reward, self.ended, self.commands = 0.0, False, []
        for command in kept:
            self.step(command)
        return True

    def hint(self, copy: TextEnv, player: str, seed: int) -> str:
        """Asks a player what it would do now.

        Args:
            copy: a second environment with the same options.
            player: a name of its players.
            seed: the player's.

        Returns:
            Its command.

        Raises:
            InputError: the player cannot play this task.
        """
        text, info = copy.reset(options={"task": self.info["task"]})
        adviser = copy.players[player](copy, seed)
        for command in self.commands:
            # A player may go by all it has seen, so it is asked at every turn.
            adviser.act(text, info)
            text, _, _, _, info = copy.step(command)
        return adviser.act(text, info)


def main(config: PlayConfig) -> None:
    """Plays one episode."""
    with closing(make_from(config.env)) as env:
        if config.player not in ("me", *env.players):
            raise unknown("player", config.player, ("me", *env.players))
        print(env.describe_data())
        session = Session(env, config.task, config.seed)
        print(f"{session.text}\n")
        if config.player == "me":
            _type(session, config)
        else:
            _watch(session, config)
    verdict = "Won" if session.info["won"] else "Not won"
    print(f"{verdict if session.ended else 'Left'} after {len(session.commands)} turns.")


def _watch(session: Session, config: PlayConfig) -> None:
    player = session.env.players[config.player](session.env, config.seed)
    while not session.ended:
        command = player.act(session.text, session.info)
        session.step(command)
        print(f"> {command}\n{session.text}\n")
        _say_reward(session)


def _type(session: Session, config: PlayConfig) -> None:
    """Lets a person play, until the episode or the input ends."""
    print(_rules(session.env))
    while not session.ended or _taken_back(session):
        command = _read(session.env, session.info)
        if command is None or (command == "quit" and _is_ours(command, session.info)):
            return
        if command == "":
            print(_listed(session))
        elif command == "undo" and _is_ours(command, session.info):
            print(f"{session.text}\n" if session.undo() else "There is nothing to take back.\n")
        elif command == "hint" and _is_ours(command, session.info):
            print(f"{_hint(session, config)}\n")
        else:
            session.step(command)
            print(f"{session.text}\n")
            _say_reward(session)


def _taken_back(session: Session) -> bool:
    """Offers to undo the turn that ended an episode without a win. Returns whether that was done."""
    if session.info["won"]:
        return False
    print("That was the end. undo takes your last turn back; anything else leaves.\n")
    try:
        undone = input("> " if sys.stdin.isatty() else "").strip() == "undo" and session.undo()
    except EOFError:
        return False
    if undone:
        print(f"{session.text}\n")
    return undone


def _rules(env: TextEnv) -> str:
    words = "undo takes your last turn back, hint asks the expert, quit ends"
    if env.free_text:
        return f"Answer in one or more lines and end with a line that holds only a dot. {words}.\n"
    return f"Type commands; an empty line lists those that would do something. {words}.\n"


def _read(env: TextEnv, info: Info) -> str | None:
    """Reads a command, or an answer of several lines; None at the end of the input."""
    prompt = "> " if sys.stdin.isatty() else ""
    try:
        line = input(prompt).rstrip()
        if not env.free_text or (line in _WORDS and _is_ours(line, info)) or not line:
            return line.strip()
        lines = []
        while line != ".":
            lines.append(line)
            line = input(prompt).rstrip()
    except EOFError:
        return None
    return "\n".join(lines)


def _is_ours(word: str, info: Info) -> bool:
    """Whether a word is for this program: the world has no such command."""
    return word not in info["admissible_commands"]


def _listed(session: Session) -> str:
    commands = session.info["admissible_commands"]
    if session.env.free_text:
        return "Any text is an answer here; end it with a line that holds only a dot.\n"
    return "You can: " + "; ".join(commands) + "\n" if commands else "Nothing you could do would change anything.\n"


def _hint(session: Session, config: PlayConfig) -> str:
    players = [name for name in _ADVISERS if name in session.env.players]
    if not players:
        return "This world has no expert to ask."
    with closing(make_from(config.env)) as copy:
        try:
            return f"The {players[0]} would say: {session.hint(copy, players[0], config.seed)}"
        except InputError as error:
            return f"The {players[0]} cannot tell: {error}"


def _say_reward(session: Session) -> None:
    if session.reward:
        print(f"(reward {session.reward:g})")


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m envs.play", PlayConfig, main, description="Plays an environment by hand, or watches a player."
        )
    )
