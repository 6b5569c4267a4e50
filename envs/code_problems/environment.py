"""The environment of programming problems: write a program, see which of the shown tests fail, try again.

An answer is a program, alone or in a fenced block (the last one counts). Every turn runs all tests in the sandbox.
While a test that is shown fails, the answer says which and how, and there is another turn, up to `max_turns`. Once
all shown tests hold, or there are none, the hidden ones decide, once: the episode ends, and pays 1.0 if they all
hold, else 0.0. So the hidden tests can be met by no trying out, and nothing is ever said about them but whether they
held.

Answers are verified by `envs.verifiers.unit_tests`, which says what is and what is not proof against cheating.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium

from envs.code_problems.datasets import SPLITS, read
from envs.code_problems.generator import DIFFICULTIES, generate, task_name
from envs.code_problems.players import OraclePlayer, RandomPlayer, StyledPlayer
from envs.code_problems.problems import Problem
from envs.code_problems.verification import run_tests, without_wrong_examples
from envs.config_schema import check_values, key
from envs.drawing import check_reset, seed_of
from envs.errors import InputError, nearest, shortened
from envs.sandbox import CHOICES, means
from envs.types import Info, Player, TextEnv
from envs.verifiers.unit_tests import Examination

_FENCED = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_MOST_FAILURES, _LONGEST = 3, 800


@dataclass(frozen=True)
class CodeProblemsConfig:
    """Options of the programming problems."""

    split: str = key("train", "which problems", choices=SPLITS)
    data: str = key(
        "",
        "where problems come from: a file or folder of MBPP's or HumanEval's rows, or owner/name of a dataset on the"
        " Hugging Face hub; empty generates them",
    )
    difficulty: int = key(2, "of generated problems, from one operation (1) to long chains (5)", choices=DIFFICULTIES)
    max_turns: int = key(3, "programs after which an episode is truncated", unit="turns", minimum=1)
    public_tests: int = key(
        2, "tests that are shown; HumanEval's are the examples in its text", unit="tests", minimum=0, maximum=4
    )
    time_limit: int = key(
        10,
        "processor time for a program and all its tests; waiting may take four times as long",
        unit="seconds",
        minimum=1,
        maximum=60,
    )
    sandbox: str = key(
        "auto",
        "what confines programs: the strongest means that works here, one by name, or 'unsafe' for none",
        choices=CHOICES,
    )

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: if one is not allowed.
        """
        check_values(self)


class CodeProblems(TextEnv):
    """Programming problems with hidden tests; failures of the tests shown can be repaired."""

    config_class: ClassVar[type[Any]] = CodeProblemsConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {
        "random": lambda env, seed: RandomPlayer(_problem_of(env), seed),
        "oracle": lambda env, seed: OraclePlayer(_problem_of(env)),
        "stepwise": lambda env, seed: StyledPlayer(_problem_of(env), _problem_of(env).stepwise),
        "verbose": lambda env, seed: StyledPlayer(_problem_of(env), _problem_of(env).verbose),
    }
    # Twice the talkative one: greedily, the policy then says more than a short reply has room for.
    cloned: ClassVar[tuple[str, ...]] = ("stepwise", "verbose", "verbose")
    free_text: ClassVar[bool] = True
    # A step waits for processes.
    in_process: ClassVar[bool] = False
    instructions: ClassVar[str] = (
        "You solve programming problems in Python. Answer with a complete program, alone or in a ```python block, that"
        " defines what is asked for. Use the standard library only. If a test fails you are told and can try again."
    )

    def __init__(self, config: CodeProblemsConfig | None = None, **options: Any) -> None:  # noqa: ANN401 - fields of the config
        """Finds the problems and what confines programs.

        Args:
            config: the options; or give them one by one.
            **options: fields of `CodeProblemsConfig`.

        Raises: InputError: if an option is not valid, the data cannot be read, or nothing that confines programs
            works here.
        """
        self.config = config if config is not None else CodeProblemsConfig(**options)
        self._means = means(self.config.sandbox)
        self._problems: dict[str, Problem] = {}
        if self.config.data:
            read_problems = read(self.config.data, self.config.split, self.config.public_tests)
            self._problems = {problem.name: problem for problem in read_problems}
        self._given = dict(self._problems)
        self._digest = hashlib.sha256(repr(sorted(self._problems.items())).encode()).hexdigest()[:12]
        self._cleaned: set[str] = set()
        self._problem: Problem | None = None
        self._said = ""
        self._turns = 0
        self._won = self._lost = False

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws `count` task names of the split; see `TextEnv.sample_tasks`."""
        if not self._problems:
            split, difficulty = self.config.split, self.config.difficulty
            draw = random.Random(f"code {split} {difficulty} {seed}")
            return [task_name(split, difficulty, draw.randrange(2**31)) for _ in range(count)]
        tasks: list[str] = []
        while len(tasks) < count:
            names = list(self._problems)
            random.Random(f"code {self.config.split} {seed} {len(tasks)}").shuffle(names)
            tasks += names
        return tasks[:count]

    @property
    def evaluation_split(self) -> str:
        """The test split."""
        return "test"

    def content_of(self, task: str) -> str:
        """The problem and its tests; of files and data sets, as they stand there."""
        problem = self._given[task] if task in self._given else self._find(task)
        return json.dumps([problem.statement, problem.tests, problem.reference])

    def describe_data(self) -> str:
        """Says in one line which problems are played."""
        confined = f"programs run in: {self._means}"
        if not self._problems:
            return f"generated problems of difficulty {self.config.difficulty}, split {self.config.split}; {confined}"
        of = f"{Path(self.config.data).name}, split {self.config.split}, hash {self._digest}"
        return f"{len(self._problems)} problems of {of}; {confined}"

    @property
    def problem(self) -> Problem:
        """The present problem.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        if self._problem is None:
            raise gymnasium.error.ResetNeeded("call reset() first")
        return self._problem

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task.

        Args:
            seed: chooses the first task of `sample_tasks(seed, 1)` unless `options` names one.
            options: {"task": a task's name}.

        Returns:
            The problem, and what `Info` describes.

        Raises:
            InputError: if there is no such task.
        """
        gymnasium.Env.reset(self, seed=seed)
        self._problem = self._find(self._choose(seed, options or {}))
        self._said = self._ask(self._problem)
        self._turns = 0
        self._won = self._lost = False
        return self._said, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Runs the tests of one program; after the end nothing happens any more and the last text is returned again.

        Args:
            action: a program, or a text with one in a fenced block.

        Returns:
            What failed of the tests shown, 1.0 where everything holds else 0.0, whether the hidden tests have decided,
            whether the turns are spent, and `Info`.

        Raises:
            ResetNeeded: before the first `reset`.
            SandboxError: the sandbox broke.
        """
        problem = self.problem
        if self._won or self._lost or self._truncated:
            return self._said, 0.0, self._won or self._lost, self._truncated, self._info()
        self._turns += 1
        examination = run_tests(problem, program_of(action), self.config.time_limit, self._means)
        shown = len(problem.public)
        if examination.passed(0, shown):
            self._won = examination.passed()
            self._lost = not self._won
            self._said = "All tests hold." if self._won else "The tests shown hold, but not all of the hidden ones do."
        else:
            self._said = _failures(examination, shown)
        return self._said, float(self._won), self._won or self._lost, self._truncated, self._info()

    @property
    def _truncated(self) -> bool:
        return not self._won and not self._lost and self._turns >= self.config.max_turns

    def _choose(self, seed: int | None, options: dict[str, Any]) -> str:
        check_reset(options)
        if "task" in options:
            return str(options["task"])
        return self.sample_tasks(seed_of(self, seed), 1)[0]

    def _find(self, task: str) -> Problem:
        if not self._problems:
            return generate(task, self.config.public_tests)
        if task not in self._problems:
            where = f"split {self.config.split} of {self.config.data}"
            raise InputError(f"{where} has no problem {task!r}.{nearest(task, self._problems)}")
        if task not in self._cleaned:
            self._problems[task] = without_wrong_examples(self._problems[task], self.config.time_limit, self._means)
            self._cleaned.add(task)
        return self._problems[task]

    def _ask(self, problem: Problem) -> str:
        lines = [problem.statement]
        if problem.public:
            lines += ["It should pass these tests:", *problem.public]
        else:
            lines.append(f"It should define {' and '.join(problem.names)}.")
        return "\n".join(lines)

    def _info(self) -> Info:
        problem = self.problem
        return {
            "admissible_commands": [],
            "anchor": self._said,
            "won": self._won,
            "goal": problem.statement,
            "task": problem.name,
            "task_type": problem.task_type,
        }


def program_of(answer: str) -> str:
    """Returns the program in an answer: its last fenced block, or all of it where it has none."""
    blocks = _FENCED.findall(answer)
    return str(blocks[-1]) if blocks else answer


def _failures(examination: Examination, shown: int) -> str:
    """Says which of the tests shown failed and how."""
    failed = [result for result in examination.results[:shown] if not result.passed]
    if not failed:
        return f"The tests shown were not finished: {examination.stopped}. Try again."
    # What is wrong with the whole program is the same for every test.
    messages = list(dict.fromkeys(f"{_shown(result.message)}." for result in failed))
    if len(messages) > 1 or len(failed) == 1:
        messages = [f"{_shown(result.source)}\n{_shown(result.message)}." for result in failed]
    lines = [f"{len(failed)} of {shown} tests shown fail.", *messages[:_MOST_FAILURES], "Try again."]
    return "\n".join(lines)


def _shown(text: str) -> str:
    """Cuts a text that a program may have made as long and as odd as it likes."""
    return shortened(text, _LONGEST).encode(errors="replace").decode()


def _problem_of(env: TextEnv) -> Problem:
    if not isinstance(env, CodeProblems):
        raise InputError(f"this player plays programming problems only, not {type(env).__name__}.")
    return env.problem
