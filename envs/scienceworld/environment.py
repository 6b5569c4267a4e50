"""The ScienceWorld environment (Wang et al., arXiv 2203.07540): one science experiment in text.

The score is the simulator's, from 0 to 1: each goal of the task that is reached pays a part (`reward=increments`), or
all of it is paid at the end (`reward=final`). A task is won at the full score. A wrong choice that fails the task ends
it and takes back what was paid, so that an episode's rewards add up to its published score, with 0 for a failure.

The episode is truncated after `max_turns` commands. The package truncates after 100, which is less than its own
solutions of some tasks take; so the default here is higher.

Every environment has a Java process of its own, started at the first `reset` (`server`). Left out: the package's
history files.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium

from envs.config_schema import check_values, key, names_in
from envs.drawing import check_reset, seed_of
from envs.errors import InputError
from envs.players import RandomPlayer
from envs.scienceworld.commands import admissible
from envs.scienceworld.server import Server, ServerError, find_java, find_simulator, simulator_sha256
from envs.scienceworld.tasks import (
    ALL_SIMPLIFICATIONS,
    SIMPLIFICATIONS,
    SPLITS,
    VARIATIONS,
    Task,
    check_kinds,
    ordered_simplifications,
    read_task,
    sample,
)
from envs.types import Info, Player, TextEnv

_MOST_CHARACTERS = 500
_UNKNOWN = "No known action matches that input."


@dataclass(frozen=True)
class ScienceWorldConfig:
    """Options of the ScienceWorld environment."""

    split: str = key("train", "which variations of the tasks", choices=SPLITS)
    task: tuple[str, ...] = key((), f"kinds of tasks, such as {next(iter(VARIATIONS))}; none stands for all 30")
    simplifications: tuple[str, ...] = key(
        (), f"what is made easier: {', '.join(SIMPLIFICATIONS)}; or {ALL_SIMPLIFICATIONS}, which stands for all"
    )
    max_turns: int = key(300, "commands after which an episode is truncated", unit="turns", minimum=1)
    commands: int = key(
        200,
        "most commands listed as admissible; others work too. Listing takes most of a step's time: 0 lists none",
        unit="commands",
        minimum=0,
    )
    reward: str = key(
        "increments", "when the score is paid: as it grows, or at the end", choices=("increments", "final")
    )
    anchor: str = key(
        "text", "by what GiGPO groups turns: what is said, or room, inventory and score", choices=("text", "state")
    )
    deadline: float = key(
        120.0, "how long Java may take to start, and to answer; then it is killed", unit="seconds", minimum=1
    )

    def __post_init__(self) -> None:
        """Checks the values and puts tasks and simplifications into their order.

        Raises:
            InputError: if one is not allowed.
        """
        check_values(self)
        check_kinds(names_in(self.task))
        chosen = tuple(kind for kind in VARIATIONS if kind in names_in(self.task))
        object.__setattr__(self, "task", () if len(chosen) == len(VARIATIONS) else chosen)
        easier = ordered_simplifications(names_in(self.simplifications), self.kinds)
        object.__setattr__(self, "simplifications", easier)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of tasks that are played."""
        return self.task or tuple(VARIATIONS)


class OraclePlayer:
    """Plays the package's own solution, its "gold path"."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Looks the solution up, which the simulator finds in seconds.

        Args:
            env: a `ScienceWorld`, after `reset`.
            seed: without effect.
        """
        if not isinstance(env, ScienceWorld):
            raise InputError(f"the oracle plays ScienceWorld only, not {type(env).__name__}.")
        self._commands = list(reversed(env.solution()))

    def act(self, text: str, info: Info) -> str:
        """Returns the next command of the solution, "wait1" after its end."""
        return self._commands.pop() if self._commands else "wait1"


class ScienceWorld(TextEnv):
    """Elementary science experiments: boil water, grow a plant, build a circuit, breed peas."""

    config_class: ClassVar[type[Any]] = ScienceWorldConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {"random": RandomPlayer, "oracle": OraclePlayer}
    in_process: ClassVar[bool] = False

    def __init__(self, config: ScienceWorldConfig | None = None, **options: Any) -> None:  # noqa: ANN401 - fields of the config
        """Makes sure that Java and the package are there; Java is started at the first `reset`.

        Args:
            config: the options; or give them one by one.
            **options: fields of `ScienceWorldConfig`.

        Raises:
            MissingExtraError: if Java or the package is missing.
            InputError: if an option is not valid.
        """
        self.config = config if config is not None else ScienceWorldConfig(**options)
        find_simulator()
        find_java()
        self._server: Server | None = None
        self._task: Task | None = None
        self._goal = ""
        self._said = ""
        self._listed: list[str] = []
        self._played: list[str] = []
        self._score = 0.0
        self._completed = False

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws `count` task names of the split; see `TextEnv.sample_tasks`."""
        return sample(self.config.kinds, self.config.simplifications, self.config.split, seed, count)

    @property
    def evaluation_split(self) -> str:
        """The published development split."""
        return "dev"

    def content_of(self, task: str) -> str:
        """The hash of the package's simulator, which holds all tasks: starting each takes Java minutes a panel."""
        return simulator_sha256()

    def describe_data(self) -> str:
        """Says in one line which tasks are played."""
        kinds = self.config.kinds
        which = ", ".join(kinds) if len(kinds) < len(VARIATIONS) else f"all {len(kinds)} kinds of tasks"
        easier = f", made easier by {', '.join(self.config.simplifications)}" if self.config.simplifications else ""
        return f"ScienceWorld {importlib.metadata.version('scienceworld')}: {which}, split {self.config.split}{easier}"

    def solution(self) -> tuple[str, ...]:
        """Returns the package's solution of the present task from its start.

        The simulator plays the task to find it, so what was played so far is played again afterwards.

        Raises:
            ResetNeeded: before the first `reset`.
            ServerError: the Java process is late or dead.
        """
        server, task = self._open()
        self._load(server, task, solved=True)
        solution = tuple(server.call("getGoldActionSequence"))
        for command in self._played:
            server.call("step", command)
        return solution

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task, and Java if it does not run.

        Args:
            seed: chooses the first task of `sample_tasks(seed, 1)` unless `options` names one.
            options: {"task": a task's name}.

        Returns:
            The task and what is seen, and what `Info` describes.

        Raises:
            InputError: if there is no such task.
            ServerError: if the Java process is late or dies.
        """
        gymnasium.Env.reset(self, seed=seed)
        task = read_task(self._choose(seed, options or {}))
        if self._server is not None and self._server.alive:
            # A process that breaks only now has harmed no episode, and another takes its place.
            with suppress(ServerError):
                return self._start(self._server, task)
        self.close()
        self._server = Server(self.config.deadline)
        return self._start(self._server, task)

    def _start(self, server: Server, task: Task) -> tuple[str, Info]:
        self._load(server, task, solved=False)
        self._task, self._played, self._score, self._completed = task, [], 0.0, False
        self._goal = _tidied(server.call("getTaskDescription"))
        self._said = f"{self._goal}\n\n{_tidied(server.call('freeActionLook'))}"
        self._listed = self._list(server)
        return self._said, self._info(server)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Plays one command; after the end nothing happens any more and the last text is returned again.

        Args:
            action: any text.

        Returns:
            What the simulator says, the reward, whether the task is won or failed, whether the turns are spent, `Info`.

        Raises:
            ResetNeeded: before the first `reset`, or after an error.
            ServerError: if the Java process is late or dies.
        """
        server, _ = self._open()
        if self._completed or self._truncated:
            return self._said, 0.0, self._completed, self._truncated, self._info(server)
        before = self._score
        command = " ".join(action.split())
        self._played.append(command)
        self._said = self._play(server, command)
        reward = self._score - before
        if self.config.reward == "final":
            reward = self._score if self._completed or self._truncated else 0.0
        return self._said, reward, self._completed, self._truncated, self._info(server)

    def close(self) -> None:
        """Stops Java; `reset` starts it again."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def _truncated(self) -> bool:
        return not self._completed and len(self._played) >= self.config.max_turns

    def _open(self) -> tuple[Server, Task]:
        if self._server is None or self._task is None or not self._server.started:
            raise gymnasium.error.ResetNeeded("call reset() first")
        return self._server, self._task

    def _choose(self, seed: int | None, options: dict[str, Any]) -> str:
        check_reset(options)
        if "task" in options:
            return str(options["task"])
        return self.sample_tasks(seed_of(self, seed), 1)[0]

    def _load(self, server: Server, task: Task, solved: bool) -> None:
        refusal = server.call("load", task.kind, task.variation, ",".join(task.simplifications), solved)
        if refusal:
            raise InputError(f"ScienceWorld does not start the task {task.name}: {refusal}")

    def _play(self, server: Server, command: str) -> str:
        if not command or not command.isprintable() or len(command) > _MOST_CHARACTERS:
            return _UNKNOWN
        said = _tidied(server.call("step", command))
        score = float(server.call("getScore"))
        self._score = max(score, 0.0)
        self._completed = bool(server.call("getCompleted")) or score < 0
        if said != _UNKNOWN:
            # The simulator draws the names of things anew for every list, even where nothing was done.
            self._listed = self._list(server)
        return said

    def _list(self, server: Server) -> list[str]:
        if not self.config.commands:
            return []
        return admissible(server.call("getValidActionObjectCombinationsJSON"), self.config.commands)

    def _info(self, server: Server) -> Info:
        assert self._task is not None
        return {
            "admissible_commands": list(self._listed),
            "anchor": self._said if self.config.anchor == "text" else self._state_key(server),
            "won": self._completed and self._score >= 1.0,
            "goal": self._goal,
            "task": self._task.name,
            "task_type": self._task.kind,
            "is_action_valid": self._said != _UNKNOWN,
        }

    def _state_key(self, server: Server) -> str:
        seen = (server.call("freeActionLook"), server.call("freeActionInventory"), f"{self._score:.6f}")
        return hashlib.sha256("\0".join(seen).encode()).hexdigest()[:32]


def _tidied(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.replace("\t", "  ").split("\n")).strip()
