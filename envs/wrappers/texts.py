"""What is read out of actions and what is shown beside the text."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

import gymnasium

from envs.errors import InputError
from envs.types import AnyText, Info, TextEnv
from envs.wrappers.wrapping import Played, Wrapper

_TAG = re.compile(r"<action>(.*?)</action>", re.DOTALL | re.IGNORECASE)


def command_in(action: str, info: Info) -> str:
    """Reads a command generously: the last `<action>...</action>` if there is one, else all that was said.

    White space, quotes and a full stop around it do not count, and where it is an admissible command but for upper and
    lower case, that command is meant.
    """
    found = _TAG.findall(action)
    command = " ".join((found[-1] if found else action).split()).strip("`'\"").removesuffix(".").strip()
    same = [known for known in info["admissible_commands"] if known.lower() == command.lower()]
    return command if command in same or not same else same[0]


class ActionParsing(Wrapper):
    """Reads commands out of what a model says, for programs whose models do not just say a command.

    Keystone's own rollouts read replies before a world gets them and need none of this.
    """

    def __init__(self, env: TextEnv, parse: Callable[[str, Info], str] = command_in) -> None:
        """Goes around a world.

        Args:
            env: the world inside.
            parse: from an action and what the world said before to a command. An admissible command should stay what
                it is.
        """
        super().__init__(env)
        self._parse = parse

    def read(self, action: str, info: Info) -> str:
        """Reads the command."""
        return self._parse(action, info)


class AdmissibleList(Wrapper):
    """Lists the admissible commands below every text, for models that are shown nothing but the text."""

    def __init__(self, env: TextEnv) -> None:
        """Goes around a world."""
        super().__init__(env)
        self.observation_space = _longer(env, 2)

    def on_reset(self, text: str, info: Info) -> tuple[str, Info]:
        """Adds the list."""
        return _with_list(text, info), info

    def on_step(self, text: str, played: Played) -> tuple[str, float, bool, bool, Info]:
        """Adds the list, while the episode goes on."""
        if not (played.terminated or played.truncated):
            text = _with_list(text, played.after)
        return text, played.reward, played.terminated, played.truncated, played.after


class HistoryWindow(Wrapper):
    """Shows the last turns above every text, for models that are shown one text at a time."""

    def __init__(self, env: TextEnv, turns: int) -> None:
        """Goes around a world.

        Args:
            env: the world inside.
            turns: how many earlier turns to show, each what was said and the command that answered it; at least 1.

        Raises:
            InputError: there are fewer.
        """
        if turns < 1:
            raise InputError(f"a window should be 1 turn or more, got {turns}.")
        super().__init__(env)
        self.observation_space = _longer(env, 2 * turns + 1)
        self._earlier: deque[str] = deque(maxlen=turns)
        self._last = ""

    def on_reset(self, text: str, info: Info) -> tuple[str, Info]:
        """Starts an empty window."""
        self._earlier.clear()
        self._last = text
        return text, info

    def on_step(self, text: str, played: Played) -> tuple[str, float, bool, bool, Info]:
        """Adds the turn to the window."""
        self._earlier.append(f"{self._last}\n\n> {played.command}\n")
        self._last = text
        shown = "\n".join((*self._earlier, text))
        return shown, played.reward, played.terminated, played.truncated, played.after


def _with_list(text: str, info: Info) -> str:
    commands = info["admissible_commands"]
    return f"{text}\n\nAdmissible commands: {', '.join(commands)}" if commands else text


def _longer(env: TextEnv, times: int) -> gymnasium.Space[str]:
    """A space for texts that are made of several."""
    space = env.observation_space
    return AnyText(times * space.max_length) if isinstance(space, gymnasium.spaces.Text) else space
