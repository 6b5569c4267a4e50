r"""The environment of mathematical problems: a question, and an answer in free text.

A turn is an answer: its last `\boxed{}`, `#### x` or number counts (`envs.verifiers.math_answer`). With `calculator`
on, a turn whose last line is `calculate: EXPRESSION` is a call of the tool instead; it is answered with the value and
costs no attempt. A right answer wins and pays 1. A wrong one is told so and costs an attempt; without attempts left the
episode is lost. After `max_turns` turns it is truncated.

The anchor is what is known: the question, the attempts left, the wrong answers given and the values calculated, each
without order. Left out: partial credit, which the reward does not know.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium

from envs.config_schema import check_values, key, names_in
from envs.drawing import check_reset, seed_of
from envs.errors import InputError, shortened
from envs.files import named_path
from envs.math_problems.calculator import calculate, called
from envs.math_problems.generator import LEVELS, Generator
from envs.math_problems.problems import SPLITS, Problem, Source
from envs.math_problems.reasoning import ReasoningGym
from envs.math_problems.records import load_dataset, read_records
from envs.types import Info, Player, TextEnv
from envs.verifiers.math_answer.extraction import final_answer

SOURCES = ("auto", "generated", "file", "dataset", "reasoning_gym")
_MOST_CHARACTERS = 1 << 16


@dataclass(frozen=True)
class MathConfig:
    """Options of the mathematical problems."""

    split: str = key("train", "which problems", choices=SPLITS)
    source: str = key(
        "auto",
        "where problems come from; auto takes the file or data set that data= names, and generates them without",
        choices=SOURCES,
    )
    data: str = key(
        "", "a file of JSON lines, a folder with train.jsonl, or a data set such as openai/gsm8k, by name or path"
    )
    subset: str = key("", "the configuration of a data set that has several, such as main")
    families: tuple[str, ...] = key((), "kinds of problems that are generated; by default those of the level")
    level: int = key(2, "difficulty of problems that are generated", minimum=LEVELS[0], maximum=LEVELS[-1])
    attempts: int = key(1, "answers that may be given", unit="answers", minimum=1)
    calculator: bool = key(False, "whether a turn may ask for a value: calculate: 12*7")
    max_turns: int = key(8, "turns after which an episode is truncated", unit="turns", minimum=1)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: if one is not allowed.
        """
        check_values(self)
        object.__setattr__(self, "families", names_in(self.families))
        if self.kind in ("file", "dataset") and not self.data:
            raise InputError(f"source={self.source} needs data=PATH or data=NAME.")
        if self.data and self.kind in ("generated", "reasoning_gym"):
            raise InputError(f"source={self.source} takes no data, got data={self.data}.")
        if self.families and self.kind in ("file", "dataset"):
            raise InputError("families= chooses among generated problems; a file or data set is played as a whole.")

    @property
    def kind(self) -> str:
        """The source, `auto` resolved."""
        if self.source != "auto":
            return self.source
        if not self.data:
            return "generated"
        path = named_path("data=", self.data)
        is_saved_dataset = (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()
        named = not path.exists() and self.data.count("/") <= 1 and not path.suffix and not path.is_absolute()
        return "dataset" if is_saved_dataset or named else "file"


class RandomPlayer:
    """Answers with a random number."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: the environment, after `reset`.
            seed: of its numbers.
        """
        self._random = random.Random(seed)

    def act(self, text: str, info: Info) -> str:
        """Returns a number below 100."""
        return f"#### {self._random.randrange(100)}"


class OraclePlayer:
    """Asks the calculator for every step, if there is one, and writes the solution."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Looks the solution up.

        Args:
            env: a `MathProblems`, after `reset`.
            seed: without effect.
        """
        if not isinstance(env, MathProblems):
            raise InputError(f"the oracle plays mathematical problems only, not {type(env).__name__}.")
        problem = env.problem
        calls = problem.calculations[: env.config.max_turns - 1] if env.config.calculator else ()
        self._turns = [*(f"calculate: {expression}" for expression in calls), solution_of(problem)]

    def act(self, text: str, info: Info) -> str:
        """Returns the next turn; the solution again after the end."""
        return self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]


class DirectPlayer:
    """Gives the right answer without a word about how it is found."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Looks the answer up.

        Args:
            env: a `MathProblems`, after `reset`.
            seed: without effect.
        """
        if not isinstance(env, MathProblems):
            raise InputError(f"the direct player plays mathematical problems only, not {type(env).__name__}.")
        self._answer = f"#### {env.problem.answer}"

    def act(self, text: str, info: Info) -> str:
        """Returns the answer."""
        return self._answer


def solution_of(problem: Problem) -> str:
    """Returns the worked solution of a problem, or its answer where none is known."""
    return problem.solution or f"\\boxed{{{problem.answer}}}"


class MathProblems(TextEnv):
    """Mathematical problems in words: data sets, or generated without end."""

    config_class: ClassVar[type[Any]] = MathConfig
    free_text: ClassVar[bool] = True
    instructions: ClassVar[str] = (
        "Solve the problem. Think step by step, then give the final answer within \\boxed{}, or after #### on the last "
        "line."
    )
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {
        "random": RandomPlayer,
        "oracle": OraclePlayer,
        "direct": DirectPlayer,
    }
    # Two styles, one of which pays: what reinforcement learning finds first.
    cloned: ClassVar[tuple[str, ...]] = ("oracle", "direct")

    def __init__(self, config: MathConfig | None = None, **options: Any) -> None:  # noqa: ANN401 - fields of the config
        """Finds the problems.

        Args:
            config: the options; or give them one by one.
            **options: fields of `MathConfig`.

        Raises:
            InputError: an option or the data cannot be used.
        """
        self.config = config or MathConfig(**options)
        self._source = _open(self.config)
        charset = string.printable + self._source.characters()
        self.observation_space = gymnasium.spaces.Text(_MOST_CHARACTERS, min_length=0, charset=charset)
        self.action_space = gymnasium.spaces.Text(_MOST_CHARACTERS, min_length=0, charset=charset)
        self._task = ""

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws names of problems."""
        return self._source.sample(seed, count)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a problem: `options={"task": name}`, else the first of `sample_tasks(seed, 1)`.

        Raises:
            InputError: there is no such problem, or an option is unknown.
        """
        gymnasium.Env.reset(self, seed=seed)
        options = options or {}
        check_reset(options)
        drawn = seed_of(self, seed)
        task = str(options["task"]) if "task" in options else self.sample_tasks(drawn, 1)[0]
        self.problem = self._source.problem(task)
        self._task = task
        self._turns = self._used = 0
        self._won = False
        self._wrong: set[str] = set()
        self._calculated: set[str] = set()
        self._said = self.problem.question + self._offer()
        return self._said, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Takes one turn: an answer, or a call of the calculator.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        if not self._task:
            raise gymnasium.error.ResetNeeded("call reset before step")
        if self._lost or self._won or self._truncated:
            return self._said, 0.0, self._won or self._lost, self._truncated, self._info()
        self._turns += 1
        expression = called(action) if self.config.calculator else None
        if expression is not None:
            self._said = calculate(expression)
            self._calculated.add(shortened(self._said))
        else:
            self._said = self._judge(action)
        return self._said, float(self._won), self._won or self._lost, self._truncated, self._info()

    @property
    def evaluation_split(self) -> str:
        """The split of evaluation: test."""
        return "test"

    def content_of(self, task: str) -> str:
        """The question and its answer."""
        problem = self._source.problem(task)
        return json.dumps([problem.question, problem.answer])

    def describe_data(self) -> str:
        """Says which problems these are."""
        return self._source.describe()

    @property
    def _lost(self) -> bool:
        return not self._won and self._used >= self.config.attempts

    @property
    def _truncated(self) -> bool:
        return not self._won and not self._lost and self._turns >= self.config.max_turns

    def _judge(self, action: str) -> str:
        self._used += 1
        self._won = self._source.verify(action[:_MOST_CHARACTERS], self._task).passed
        if self._won:
            return "That is right."
        found = final_answer(action)
        self._wrong.add(shortened(found.text if found else action.strip()))
        left = self.config.attempts - self._used
        if not left:
            return "That is not right."
        return f"That is not right. {left} {'attempt is' if left == 1 else 'attempts are'} left."

    def _offer(self) -> str:
        """Says what may be done beyond one answer."""
        offers = [f"You have {self.config.attempts} attempts."] if self.config.attempts > 1 else []
        if self.config.calculator:
            offers.append("To use the calculator, end your turn with a line such as: calculate: 12*7")
        return "\n\n" + " ".join(offers) if offers else ""

    def _info(self) -> Info:
        left = self.config.attempts - self._used
        known = [self.problem.question, f"attempts left: {left}", *sorted(self._wrong), *sorted(self._calculated)]
        return {
            "admissible_commands": [],
            "anchor": "\n".join(known),
            "won": self._won,
            "goal": self.problem.question,
            "task": self._task,
            "task_type": self.problem.family,
        }


def _open(config: MathConfig) -> Source:
    if config.kind == "file":
        return read_records(config.data, config.split)
    if config.kind == "dataset":
        return load_dataset(config.data, config.subset, config.split)
    if config.kind == "reasoning_gym":
        return ReasoningGym(config.split, config.families, config.level)
    return Generator(config.split, config.families, config.level)
