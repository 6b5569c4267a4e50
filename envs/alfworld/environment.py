"""The ALFWorld environment: one household task in text (Shridhar et al., arXiv 2010.03768).

Real games where there is data, generated ones otherwise; the native engine (`rules`) or the stock one (`reference`).
A game file that the native rules do not cover is played by the stock engine, with a warning that says what is not
covered, provided that its grammar is a known one: the stock engine runs expressions of the grammar as code, and a file
with a grammar of its own is played by it only on request (`engine=reference`).

An episode ends at the win, which pays 1, or is truncated after `max_turns` commands. The engines go on after a win;
this environment stays finished. Left out: the embodied half of ALFWorld.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium

from envs.alfworld.dialects import UncoveredError
from envs.alfworld.difficulty import Difficulty
from envs.alfworld.oracle import plan_from
from envs.alfworld.reading import Outline, load_json, read_bytes, read_outline
from envs.alfworld.reference import ReferenceWorld, check_loads, reference_file
from envs.alfworld.tasks import GOALS, Location, TaskSource, generated_problem
from envs.alfworld.world import World
from envs.config_schema import key
from envs.drawing import check_reset, seed_of
from envs.errors import InputError
from envs.players import RandomPlayer
from envs.types import Info, Player, TextEnv


@dataclass(frozen=True)
class _PlayConfig:
    split: str = key("train", "which games", choices=("train", "valid_seen", "valid_unseen"))
    data: str = key(
        "",
        "folder of the games; empty looks at $ALFWORLD_DATA and ~/.cache/alfworld and generates games where there are"
        " none; 'generated' always generates them",
    )
    engine: str = key(
        "native",
        "who plays: the native engine or the stock one, which runs code out of the game files",
        choices=("native", "reference"),
    )
    max_turns: int = key(50, "commands after which an episode is truncated", unit="turns", minimum=1)
    anchor: str = key("text", "by what GiGPO groups turns: what is seen, or the true state", choices=("text", "state"))
    goals: str = key(
        "template",
        "whose words the task is in: the game's own, or those of an annotator (real games with their traj_data.json)",
        choices=GOALS,
    )


@dataclass(frozen=True)
class ALFWorldConfig(Difficulty, _PlayConfig):
    """Options of the ALFWorld environment; those of `Difficulty`, listed last, are for generated games only."""


class OraclePlayer:
    """Plays the game's walkthrough, or a plan made with full knowledge where it has none."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Looks the solution up.

        Args:
            env: an `ALFWorld`, after `reset`.
            seed: without effect.
        """
        if not isinstance(env, ALFWorld):
            raise InputError(f"the oracle plays ALFWorld only, not {type(env).__name__}.")
        self._commands = list(reversed(env.solution()))

    def act(self, text: str, info: Info) -> str:
        """Returns the next command of the solution, "look" after its end."""
        return self._commands.pop() if self._commands else "look"


class PlannerPlayer:
    """Plays the first command of a shortest plan from where the game stands, so it goes on from wherever it is led.

    It knows all of a game, and plays only what the native engine does.
    """

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: an `ALFWorld`, after `reset`.
            seed: without effect.
        """
        if not isinstance(env, ALFWorld):
            raise InputError(f"the planner plays ALFWorld only, not {type(env).__name__}.")
        self._env = env

    def act(self, text: str, info: Info) -> str:
        """Returns the next command; "look" where no plan is left."""
        plan = self._env.plan()
        return plan[0] if plan else "look"


def _exploring_expert(env: TextEnv, seed: int) -> Player:
    from envs.alfworld.experts import ExploringExpert

    expert: Player = ExploringExpert(env, seed)
    return expert


class ALFWorld(TextEnv):
    """Household tasks in text."""

    config_class: ClassVar[type[Any]] = ALFWorldConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {
        "random": RandomPlayer,
        "oracle": OraclePlayer,
        "planner": PlannerPlayer,
        "expert": _exploring_expert,
    }
    reference_options: ClassVar[Mapping[str, Any]] = {"engine": "reference"}
    step_parts: ClassVar[Mapping[str, str]] = {
        "envs.alfworld.world.World.step": "finding the command",
        "envs.alfworld.world.*": "admissible commands",
        "envs.alfworld.rules.*.play": "rules",
        "envs.alfworld.rules._names": "text",
        "envs.alfworld.rules.*": "admissible commands",
        "envs.alfworld.text.*": "text",
        "envs.alfworld.state.State.key*": "anchor",
        "envs.alfworld.state._joined*": "anchor",
        "envs.alfworld.state.State.goal_holds*": "goal",
        "envs.alfworld.environment.*": "environment around the engine",
        "envs.alfworld.*": "rules",
    }

    def __init__(self, config: ALFWorldConfig | None = None, **options: Any) -> None:  # noqa: ANN401 - fields of the config
        """Finds the games.

        Args:
            config: the options; or give them one by one.
            **options: fields of `ALFWorldConfig`.

        Raises:
            InputError: if an option is not valid, or data was named that is not there.
        """
        self.config = config if config is not None else ALFWorldConfig(**options)
        native = self.config.engine == "native"
        self._source = TaskSource(self.config.data, self.config.split, self.config, self.config.goals, compiling=native)
        self._world: World | ReferenceWorld | None = None
        self._outline = Outline("", "", ())
        self._location = Location("")
        self._task = ""
        self._said = ""
        self._turns = 0
        self._won = False

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws `count` task names of the split; see `TextEnv.sample_tasks`."""
        return self._source.sample(seed, count)

    @property
    def evaluation_split(self) -> str:
        """The published development split of real games; unseen rooms of generated ones."""
        return "valid_seen" if self._source.index is not None else "valid_unseen"

    def content_of(self, task: str) -> str:
        """The facts of a game and its task line; not its domain and grammar, which differ between releases."""
        location = self._source.locate(task)
        if location.generated:
            return json.dumps(generated_problem(location.game), default=sorted)
        facts = load_json(read_bytes(location.game), location.game).get("pddl_problem")
        return f"{facts}\0{location.goal or read_outline(location.game).sentence}"

    def describe_data(self) -> str:
        """Says in one line which games are played."""
        return self._source.describe()

    def solution(self) -> tuple[str, ...]:
        """Returns commands that win the present task from its start: its walkthrough, else a shortest plan.

        Raises:
            ResetNeeded: before the first `reset`.
            InputError: if the game cannot be won.
        """
        if self._world is None:
            raise gymnasium.error.ResetNeeded("call reset() first")
        return self._outline.walkthrough or self._source.game(self._location).solution()

    def plan(self) -> tuple[str, ...] | None:
        """Returns a shortest list of commands that wins from where the game stands; None if it can no longer be won.

        Raises:
            ResetNeeded: before the first `reset`.
            InputError: if the stock engine plays, whose state the planner does not know.
        """
        if self._world is None:
            raise gymnasium.error.ResetNeeded("call reset() first")
        if not isinstance(self._world, World):
            raise InputError(
                "the planner knows only games that the native engine plays. Give engine=native, or another player."
            )
        return plan_from(self._world.state)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task.

        Args:
            seed: chooses the first task of `sample_tasks(seed, 1)` unless `options` names one.
            options: {"task": a task's name} or {"game": path of a game file}. Where human goals are played, the seed
                also draws the annotation of a game given by its path.

        Returns:
            The first text, and what `Info` describes.

        Raises:
            InputError: if there is no such task or its file is incomplete.
        """
        gymnasium.Env.reset(self, seed=seed)
        self._task = self._choose(seed, options or {})
        location = self._source.locate(self._task)
        if self._world is None or location != self._location:
            self._world, self._outline = self._open(location)
            self._location = location
        self._said = self._world.reset()
        self._turns = 0
        self._won = self._world.won
        return self._said, self._info(self._world)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Plays one command; after the end nothing happens any more and the last text is returned again.

        Args:
            action: any text.

        Returns:
            What the game says, 1.0 at the win else 0.0, whether it is won, whether the turns are spent, and `Info`.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        world = self._world
        if world is None:
            raise gymnasium.error.ResetNeeded("call reset() first")
        if self._finished:
            return self._said, 0.0, self._won, self._truncated, self._info(world)
        self._said = world.step(action)
        self._turns += 1
        self._won = world.won
        return self._said, float(self._won), self._won, self._truncated, self._info(world)

    @property
    def _truncated(self) -> bool:
        return not self._won and self._turns >= self.config.max_turns

    @property
    def _finished(self) -> bool:
        return self._won or self._turns >= self.config.max_turns

    def _choose(self, seed: int | None, options: dict[str, Any]) -> str:
        check_reset(options, ("task", "game"))
        if "game" in options:
            return self._source.name_of(options["game"], seed or 0)
        if "task" in options:
            return str(options["task"])
        return self.sample_tasks(seed_of(self, seed), 1)[0]

    def _open(self, location: Location) -> tuple[World | ReferenceWorld, Outline]:
        if self.config.engine == "reference":
            return _open_reference(location)
        try:
            game = self._source.game(location)
        except UncoveredError as error:
            if not error.grammar_known:
                raise
            check_loads(location.game, error.what)
            warnings.warn(f"{error.what}; the stock engine plays it, far more slowly.", stacklevel=3)
            return _open_reference(location)
        layout = game.layout
        return World(layout), Outline(layout.sentence, layout.goal.task_type, game.walkthrough)

    def _info(self, world: World | ReferenceWorld) -> Info:
        return {
            "admissible_commands": world.admissible_commands(),
            "anchor": self._said if self.config.anchor == "text" else world.state_key(),
            "won": self._won,
            "goal": self._outline.sentence,
            "task": self._task,
            "task_type": self._outline.task_type,
        }


def _open_reference(location: Location) -> tuple[ReferenceWorld, Outline]:
    path, goal = reference_file(location), location.goal
    outline = read_outline(path)
    return ReferenceWorld(path, goal), outline if goal is None else outline._replace(sentence=goal)
