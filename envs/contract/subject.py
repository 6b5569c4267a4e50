"""What is under test, and episodes that are checked turn by turn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from envs.errors import KeystoneError
from envs.registry import make
from envs.types import Info, Player, TextEnv

_MOST_TURNS = 1000


class ContractError(KeystoneError, AssertionError):
    """An environment breaks the contract; the message says which rule and how."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """The environment under test.

    Attributes:
        name: its name, as for `envs.make`.
        options: its options.
        seed: keys every draw of the checks.
        num_tasks: tasks to try.
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    num_tasks: int = 5

    @contextmanager
    def fresh(self, **changes: Any) -> Iterator[TextEnv]:  # noqa: ANN401 - options, as for `envs.make`
        """Makes a fresh environment, some options changed, and closes it."""
        with closing(make(self.name, **{**self.options, **changes})) as env:
            yield env


def play(
    env: TextEnv, task: str, player: str, seed: int
) -> tuple[list[str], list[tuple[str, float, bool, bool, Info]]]:
    """Plays one episode and checks every turn.

    Args:
        env: the environment.
        task: the task's name.
        player: a name of `env.players`.
        seed: the player's seed.

    Returns:
        The commands, and what `step` returned for each.

    Raises:
        ContractError: a turn breaks the contract, or the episode does not end.
    """
    text, info = env.reset(options={"task": task})
    check_said(env, text, info)
    actor: Player = env.players[player](env, seed)
    commands: list[str] = []
    said: list[tuple[str, float, bool, bool, Info]] = []
    while len(commands) < _MOST_TURNS:
        commands.append(actor.act(text, info))
        said.append(env.step(commands[-1]))
        text, reward, terminated, truncated, info = said[-1]
        check_said(env, text, info)
        require(info["task"] == task, "the task stays the same during an episode")
        require(math.isfinite(reward), f"rewards are finite, not {reward}")
        require(not (terminated and truncated), "an episode that is won or lost is not also cut short")
        require(terminated or not info["won"], "an episode that is won is terminated")
        if terminated or truncated:
            return commands, said
    raise ContractError(f"an episode ends within {_MOST_TURNS} turns; task {task!r} played by {player!r} does not")


def action_of(env: TextEnv, text: str, info: Info, seed: int) -> str:
    """Returns something that can be done now: an admissible command; of free text, what the random player says.

    Args:
        env: the environment.
        text: what it said last.
        info: what it said beside.
        seed: the random player's.
    """
    if env.free_text:
        return env.players["random"](env, seed).act(text, info)
    require(bool(info["admissible_commands"]), f"task {info['task']!r} starts with an admissible command")
    return info["admissible_commands"][-1]


def check_said(env: TextEnv, text: str, info: Info) -> None:
    """Checks one answer of an environment.

    Raises:
        ContractError: it lacks something, or something in it is of the wrong kind.
    """
    kinds = {"admissible_commands": list, "anchor": str, "won": bool, "goal": str, "task": str, "task_type": str}
    require(isinstance(text, str) and bool(text.strip()), "an observation is a text that says something")
    found: dict[str, Any] = dict(info)
    require(found.keys() >= kinds.keys(), f"info has the keys {sorted(kinds.keys() - found.keys())}")
    for name, kind in kinds.items():
        require(isinstance(found[name], kind), f"info[{name!r}] is a {kind.__name__}, not {found[name]!r}")
    valid = found.get("is_action_valid", True)
    require(isinstance(valid, bool), f"info['is_action_valid'], if it is there, is a bool, not {valid!r}")
    commands = found["admissible_commands"]
    require(commands == sorted(set(commands)), "admissible_commands are sorted and differ from each other")
    require(not (env.free_text and commands), "where actions are free text there are no admissible commands")


def require(kept: bool, rule: str) -> None:
    """Holds an environment to a rule.

    Raises:
        ContractError: it is not kept.
    """
    if not kept:
        raise ContractError(f"broken rule: {rule}")
