"""The TextWorld environment (Côté et al., arXiv 1806.11532): one text game, made from a seed or played from a file.

An episode ends where the game does: at the win, which pays 1, or at a loss (a burnt ingredient, the wrong treasure); or
it is truncated after `max_turns` commands. With `reward=score` the game's points pay as they come, 1 in all.

Making and compiling a game takes seconds, once: the games of a split are `games` many, and each is kept in the cache.
Left out: TextWorld's intermediate reward, and batches of games in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import gymnasium

from envs.config_schema import key
from envs.drawing import check_reset, seed_of
from envs.errors import InputError
from envs.players import RandomPlayer
from envs.textworld.families import FAMILIES, SPLITS, Family, is_made
from envs.textworld.files import FACTS, made_sha256, read_bytes
from envs.textworld.library import library
from envs.textworld.story import Story
from envs.textworld.tasks import TaskSource
from envs.types import Info, Player, TextEnv


@dataclass(frozen=True)
class _PlayConfig:
    split: str = key("train", "which games", choices=SPLITS)
    data: str = key(
        "",
        "a game file (.z8 or .ulx with its .json beside it) or a folder of them; empty makes games of the family",
    )
    games: int = key(1000, "games that each split of made games has", unit="games", minimum=1)
    max_turns: int = key(100, "commands after which an episode is truncated", unit="turns", minimum=1)
    reward: str = key("win", "what pays: the win, or the game's points as they come", choices=("win", "score"))
    anchor: str = key("text", "by what GiGPO groups turns: what is said, or the true state", choices=("text", "state"))


@dataclass(frozen=True)
class TextWorldConfig(Family, _PlayConfig):
    """Options of the TextWorld environment; those of `Family`, listed last, are for made games only."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: if one is not allowed.
        """
        super().__post_init__()
        changed = [field.name for field in fields(Family) if getattr(self, field.name) != field.default]
        if self.data and changed:
            raise InputError(f"{changed[0]} is for made games, and data={self.data} names game files. Leave one out.")


class OraclePlayer:
    """Plays the game's walkthrough, and once led away from it what TextWorld plans from there."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: a `TextWorld`, after `reset`.
            seed: without effect.
        """
        if not isinstance(env, TextWorld):
            raise InputError(f"the oracle plays TextWorld only, not {type(env).__name__}.")
        self._env = env

    def act(self, text: str, info: Info) -> str:
        """Returns the next command; "look" where no way to win is known."""
        return self._env.hint() or "look"


class HesitantPlayer(OraclePlayer):
    """Plays what the oracle plays, but looks at what it carries twice before every command: it takes thrice as long."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: a `TextWorld`, after `reset`.
            seed: without effect.
        """
        super().__init__(env, seed)
        self._turn = 0

    def act(self, text: str, info: Info) -> str:
        """Returns the next command."""
        self._turn += 1
        return "inventory" if self._turn % 3 else super().act(text, info)


class TextWorld(TextEnv):
    """Text games made by Microsoft's TextWorld: cooking, coin collecting, treasure hunting, or any of its files."""

    config_class: ClassVar[type[Any]] = TextWorldConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {
        "random": RandomPlayer,
        "oracle": OraclePlayer,
        "hesitant": HesitantPlayer,
    }
    cloned: ClassVar[tuple[str, ...]] = ("oracle", "hesitant")
    in_process: ClassVar[bool] = False

    def __init__(self, config: TextWorldConfig | None = None, **options: Any) -> None:  # noqa: ANN401 - fields of the config
        """Finds the games.

        Args:
            config: the options; or give them one by one.
            **options: fields of `TextWorldConfig`.

        Raises:
            MissingExtraError: if TextWorld is not installed.
            InputError: if an option is not valid, or data was named that is not there.
        """
        self.config = config if config is not None else TextWorldConfig(**options)
        library()
        self._source = TaskSource(self.config.data, self.config.split, self.config, self.config.games)
        self._story: Story | None = None
        self._path = Path()
        self._task = ""
        self._said = ""
        self._played: list[str] = []
        self._ended = False

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws `count` task names of the split; see `TextEnv.sample_tasks`."""
        return self._source.sample(seed, count)

    @property
    def evaluation_split(self) -> str:
        """The split of games that training never plays: valid."""
        return "valid"

    def content_of(self, task: str) -> str:
        """What TextWorld knows of a game; of a made one the hash of what it consists of."""
        if is_made(task):
            return made_sha256(task)
        return read_bytes(self._source.locate(task).with_suffix(FACTS)).decode("utf-8", "surrogateescape")

    def describe_data(self) -> str:
        """Says in one line which games are played."""
        return self._source.describe()

    def hint(self) -> str | None:
        """Returns the next command on a way to win, None if none is known.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        story = self._open()
        played = len(self._played)
        if tuple(self._played) == story.walkthrough[:played] and played < len(story.walkthrough):
            return story.walkthrough[played]
        return next(iter(story.policy()), None)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task.

        Args:
            seed: chooses the first task of `sample_tasks(seed, 1)` unless `options` names one.
            options: {"task": a task's name} or {"game": path of a game file}.

        Returns:
            The first text, and what `Info` describes.

        Raises:
            InputError: if there is no such task or its file is not whole.
        """
        gymnasium.Env.reset(self, seed=seed)
        task = self._choose(seed, options or {})
        path = self._source.locate(task)
        if self._story is None or path != self._path:
            self.close()
            self._story = Story(path)
            if self.config.reward == "score":
                self._story.check_score(path)
            self._path = path
        self._task = task
        self._said = self._story.reset()
        self._played = []
        self._ended = False
        return self._said, self._info(self._story)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Plays one command; after the end nothing happens any more and the last text is returned again.

        Args:
            action: any text.

        Returns:
            What the game says, the reward, whether it is won or lost, whether the turns are spent, and `Info`.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        story = self._open()
        if self._ended:
            return self._said, 0.0, self._over, not self._over, self._info(story)
        before = story.score
        self._said = story.step(action)
        self._played.append(" ".join(action.split()))
        self._ended = self._over or len(self._played) >= self.config.max_turns
        reward = story.score - before if self.config.reward == "score" else float(story.won)
        return self._said, reward, self._over, self._ended and not self._over, self._info(story)

    def close(self) -> None:
        """Ends the interpreter; `reset` starts another."""
        if self._story is not None:
            self._story.close()
            self._story = None

    @property
    def _over(self) -> bool:
        story = self._open()
        return story.won or story.lost

    def _open(self) -> Story:
        if self._story is None:
            raise gymnasium.error.ResetNeeded("call reset() first")
        return self._story

    def _choose(self, seed: int | None, options: dict[str, Any]) -> str:
        check_reset(options, ("task", "game"))
        if "game" in options:
            return self._source.name_of(options["game"])
        if "task" in options:
            return str(options["task"])
        return self.sample_tasks(seed_of(self, seed), 1)[0]

    def _info(self, story: Story) -> Info:
        family = self._task.partition("/")[0]
        return {
            "admissible_commands": story.admissible_commands(),
            "anchor": self._said if self.config.anchor == "text" else story.state_key(),
            "won": story.won,
            "goal": story.objective,
            "task": self._task,
            "task_type": family if family in FAMILIES else story.kind or "game",
        }
