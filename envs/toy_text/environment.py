"""Any discrete environment of Gymnasium as a text world.

Actions are Discrete; observations are Discrete, MultiDiscrete, or tuples of such. A task is a seed: it settles the
start and every random outcome after it, so that an episode replays exactly. Where nothing is random, tasks of different
splits start differently, by a checksum, as long as there is more than one start.

Rewards are the environment's own (Taxi and CliffWalking charge for every step). The best player is called "oracle"
where it wins every task. Where outcomes are random no player does; then the best one is called "expert": value
iteration for environments that tell their transitions, basic strategy in Blackjack. Others have a random player only.
Left out: Gymnasium's own time limit (`max_turns` takes its place), and continuous spaces.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.envs.toy_text.blackjack import BlackjackEnv

from envs.drawing import check_draw, check_reset, first_number, seed_of, split_of_tenth
from envs.errors import InputError, shortened
from envs.players import RandomPlayer
from envs.toy_text.making import SPLITS, ToyTextConfig, has_one_start, made, random_map
from envs.toy_text.planning import basic_strategy, best_actions, changing, is_random, transitions_of
from envs.toy_text.wording import wording_of
from envs.types import Info, Player, TextEnv

_NUM_TASKS = 2**31
_STARTS_TRIED = 100


class PlannedPlayer:
    """Plays what value iteration found best."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Plans.

        Args:
            env: a `ToyText` whose environment tells its transitions, after `reset`.
            seed: without effect.
        """
        self._env = _toy_text(env)
        transitions = transitions_of(self._env.inner.unwrapped)
        if transitions is None:
            raise InputError(f"{self._env.config.id} does not tell its transitions, so nothing can be planned.")
        self._best = best_actions(transitions)

    def act(self, text: str, info: Info) -> str:
        """Returns the best command."""
        return self._env.wording.actions[int(self._best[int(self._env.observation)])]


class BlackjackPlayer:
    """Plays basic strategy."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: a `ToyText` that plays Blackjack, after `reset`.
            seed: without effect.
        """
        self._env = _toy_text(env)

    def act(self, text: str, info: Info) -> str:
        """Returns "hit" or "stick"."""
        total, shown, ace = (int(number) for number in self._env.observation)
        return "hit" if basic_strategy(total, shown, bool(ace)) else "stick"


class ToyText(TextEnv):
    """Gymnasium's toy environments (FrozenLake, Taxi, CliffWalking, Blackjack, and others by env.id=) as text.

    Attributes:
        inner: Gymnasium's environment.
        wording: its words.
        observation: what it showed last.
    """

    config_class: ClassVar[type[Any]] = ToyTextConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {"random": RandomPlayer}
    step_parts: ClassVar[Mapping[str, str]] = {
        "envs.toy_text.wording.*": "text",
        "envs.toy_text.planning.*": "admissible commands",
        "envs.toy_text.environment.*": "environment around Gymnasium's",
        "gymnasium.*": "Gymnasium",
        "numpy.*": "Gymnasium",
    }

    def __init__(self, config: ToyTextConfig | None = None, **options: Any) -> None:  # noqa: ANN401 - fields of the config
        """Makes Gymnasium's environment.

        Args:
            config: the options; or give them one by one.
            **options: fields of `ToyTextConfig`.

        Raises:
            InputError: if an option is not valid, there is no such environment, or its spaces are not discrete.
        """
        self.config = config if config is not None else ToyTextConfig(**options)
        self.inner = made(self.config, random_map(self.config, 0))
        self.wording = wording_of(self.inner)
        self.observation: Any = None
        transitions = transitions_of(self.inner.unwrapped)
        self._random = transitions is None or is_random(transitions)
        self._one_start = transitions is not None and has_one_start(self.inner) and not self.config.random_map_size
        best = self._best_player()
        # Which player is the best, and whether it always wins, depends on the environment.
        self.players = {"random": RandomPlayer, **best}  # type: ignore[misc]
        self._task, self._said, self._situation = "", "", ""
        self._turns = 0
        self._terminated = self._won = False
        self._admissible: list[str] = []

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws `count` task names of the split; see `TextEnv.sample_tasks`."""
        check_draw(seed, count)
        first = first_number(seed, self.config.split, _NUM_TASKS)
        return [f"{self.config.label}/{self.config.split}/{first + number}" for number in range(count)]

    @property
    def evaluation_split(self) -> str:
        """The validation tasks."""
        return "valid"

    def describe_data(self) -> str:
        """Says in one line what is played, and how its tasks differ."""
        tasks = "all tasks start alike and nothing is random" if self._one_start and not self._random else ""
        tasks = tasks or ("tasks differ in their random outcomes" if self._random else "tasks differ in their start")
        return f"{self.config.label} of Gymnasium {gymnasium.__version__} (split {self.config.split}); {tasks}"

    def close(self) -> None:
        """Closes Gymnasium's environment."""
        self.inner.close()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task.

        Args:
            seed: chooses the first task of `sample_tasks(seed, 1)` unless `options` names one.
            options: {"task": a task's name}.

        Returns:
            The rules and what is seen, and what `Info` describes.

        Raises:
            InputError: if there is no such task.
        """
        gymnasium.Env.reset(self, seed=seed)
        check_reset(options or {})
        drawn = seed_of(self, seed)
        self._task = str(options["task"]) if options else self.sample_tasks(drawn, 1)[0]
        split, number = self._parsed(self._task)
        self._start(split, number)
        self._turns, self._terminated, self._won = 0, False, False
        self._said = f"{self.wording.rules(self.inner, self._random)}\n{self._situation}"
        return self._said, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Plays one command; after the end nothing happens any more and the last text is returned again.

        Args:
            action: any text. What is no name of an action takes a turn and changes nothing.

        Returns:
            What is seen, the environment's own reward, whether the episode has ended, whether the turns are spent, and
            `Info`.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        if not self._task:
            raise gymnasium.error.ResetNeeded("call reset() first")
        if self._terminated or self._turns >= self.config.max_turns:
            return self._said, 0.0, self._terminated, not self._terminated, self._info()
        self._turns += 1
        command = " ".join(action.lower().split())
        reward = self._play(command) if command in self.wording.actions else self._refuse()
        truncated = not self._terminated and self._turns >= self.config.max_turns
        return self._said, reward, self._terminated, truncated, self._info()

    def _play(self, command: str) -> float:
        number = self.wording.actions.index(command) + int(getattr(self.inner.action_space, "start", 0))
        before = self._situation
        self.observation, paid, terminated, truncated, info = self.inner.step(number)
        reward = float(paid)
        self._see(info)
        self._terminated = terminated or truncated
        self._won = self._terminated and self.wording.won(self.inner, self.observation, reward)
        if self._terminated:
            self._said = f"{self._situation}\n{self.wording.ending(self.inner, self.observation, reward)}"
        else:
            self._said = self._situation if self._situation != before else f"Nothing changes.\n{self._situation}"
        return reward

    def _refuse(self) -> float:
        self._said = f"That is no command here. You can say: {', '.join(self.wording.actions)}.\n{self._situation}"
        return 0.0

    def _see(self, info: Mapping[str, Any]) -> None:
        """Puts into words what was observed, and which actions would do something."""
        self._situation = self.wording.situation(self.inner, self.observation)
        transitions = transitions_of(self.inner.unwrapped)
        mask = info.get("action_mask")
        if transitions is not None:
            numbers = changing(transitions, int(self.observation))
        elif mask is not None:
            numbers = [number for number, allowed in enumerate(mask) if allowed]
        else:
            numbers = list(range(len(self.wording.actions)))
        self._admissible = sorted(self.wording.actions[number] for number in numbers)

    def _info(self) -> Info:
        return {
            "admissible_commands": list(self._admissible),
            "anchor": self._situation,
            "won": self._won,
            "goal": self.wording.goal,
            "task": self._task,
            "task_type": self.config.id,
        }

    def _parsed(self, task: str) -> tuple[str, int]:
        label, split, number = task.rsplit("/", 2) if task.count("/") >= 2 else ("", "", "")
        if label != self.config.label or split not in SPLITS or not re.fullmatch("0|[1-9][0-9]{0,18}", number):
            example = f"{self.config.label}/{self.config.split}/0"
            raise InputError(f"unknown task {shortened(task)!r}. Tasks of this environment are named like {example!r}.")
        return split, int(number)

    def _start(self, split: str, number: int) -> None:
        """Starts Gymnasium's environment from the task's seed."""
        tries = 1 if self._random or self._one_start else _STARTS_TRIED
        for attempt in range(tries):
            keys = [zlib.crc32(split.encode()), number, attempt]
            seed = int(np.random.SeedSequence(keys).generate_state(1)[0])
            rows = random_map(self.config, seed)
            if rows is not None:
                if attempt < tries - 1 and _split_of("".join(rows)) != split:
                    continue
                self.inner.close()
                self.inner = made(self.config, rows)
            self.observation, info = self.inner.reset(seed=seed)
            self._see(info)
            if rows is not None or _split_of(self._situation) == split:
                return

    def _best_player(self) -> dict[str, Callable[[TextEnv, int], Player]]:
        if isinstance(self.inner.unwrapped, BlackjackEnv):
            return {"expert": BlackjackPlayer}
        if transitions_of(self.inner.unwrapped) is None:
            return {}
        return {"expert" if self._random else "oracle": PlannedPlayer}


def _toy_text(env: TextEnv) -> ToyText:
    if not isinstance(env, ToyText):
        raise InputError(f"this player plays environments of Gymnasium only, not {type(env).__name__}.")
    return env


def _split_of(situation: str) -> str:
    return split_of_tenth(zlib.crc32(situation.encode()) % 10)
