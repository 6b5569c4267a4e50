"""`python -m envs.play env=NAME`: try an environment by hand, or watch one of its players.

Commands are read line by line; an empty line lists the admissible ones, the end of input (Ctrl-D) quits.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from envs.command import run_command
from envs.config_schema import key
from envs.errors import unknown
from envs.registry import ENVIRONMENT_ALIASES, environment_key, make_from
from envs.types import Info, Player


@dataclass(frozen=True)
class PlayConfig:
    """Keys of `envs.play`."""

    aliases: ClassVar[Mapping[str, str]] = ENVIRONMENT_ALIASES

    env: Any = environment_key("the environment to play")
    player: str = key("me", "who plays: me (you type), or one of the environment's players, such as random or expert")
    task: str = key("", "the task to play; by default the first of the seed")
    seed: int = key(0, "keys the task and the player", minimum=0)


class _Typist:
    """A player whose commands come from standard input. Raises `EOFError` at its end."""

    def act(self, text: str, info: Info) -> str:
        del text
        while not (command := input("> " if sys.stdin.isatty() else "").strip()):
            print("You can: " + "; ".join(info["admissible_commands"]))
        return command


def main(config: PlayConfig) -> None:
    """Plays one episode."""
    env = make_from(config.env)
    if config.player not in ("me", *env.players):
        raise unknown("player", config.player, ("me", *env.players))
    print(env.describe_data())
    text, info = env.reset(seed=config.seed, options={"task": config.task} if config.task else None)
    print(f"{text}\n")
    player: Player = _Typist() if config.player == "me" else env.players[config.player](env, config.seed)
    terminated = truncated = False
    turns = 0
    while not (terminated or truncated):
        try:
            command = player.act(text, info)
        except EOFError:
            print(f"\nLeft after {turns} turns.")
            return
        text, reward, terminated, truncated, info = env.step(command)
        turns += 1
        print(f"> {command}\n{text}\n" if config.player != "me" or not sys.stdin.isatty() else f"{text}\n")
        if reward:
            print(f"(reward {reward:g})")
    print(f"{'Won' if info['won'] else 'Not won'} after {turns} turns.")


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m envs.play", PlayConfig, main, description="Plays an environment by hand, or watches a player."
        )
    )
