"""The contract every environment keeps.

A world is a Gymnasium environment whose observations and actions are text. `reset` selects one *task*
(one problem) and `step` plays one action in it. Beyond Gymnasium's five values, `info` always carries the
keys of `Info`. A task is named by a string that survives the process: `reset(options={"task": name})`
brings the same task back anywhere, which is what panels, resumed runs and paired comparisons rest on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NotRequired, Protocol, TypedDict

import gymnasium


class AnyText(gymnasium.spaces.Text):
    """Texts of any Unicode characters, up to a length. Its samples are of Gymnasium's default characters.

    Gymnasium's own space lists its characters; what worlds and models say is not known beforehand to that degree.
    """

    def __init__(self, max_length: int) -> None:
        """Makes the space.

        Args:
            max_length: of its texts, in characters.
        """
        super().__init__(max_length, min_length=0)

    def contains(self, x: Any) -> bool:  # noqa: ANN401 - as in Gymnasium
        """Whether `x` is a text of at most that length that can be written as UTF-8 (no half of a surrogate pair)."""
        if not isinstance(x, str) or len(x) > self.max_length:
            return False
        try:
            x.encode()
        except UnicodeEncodeError:
            return False
        return True

    def __repr__(self) -> str:
        return f"AnyText({self.max_length})"

    def __eq__(self, other: object, /) -> bool:
        return isinstance(other, AnyText) and other.max_length == self.max_length


class Info(TypedDict):
    """What `reset` and `step` say beside the text.

    Attributes:
        admissible_commands: the commands that would do something now, sorted; empty where actions are free text.
        anchor: the state key by which GiGPO groups turns (arXiv 2505.10978).
        won: whether the goal is reached.
        goal: the task in words.
        task: the name of the task; `reset(options={"task": name})` returns to it.
        task_type: the kind of task, for results a kind.
        is_action_valid: whether the world took the action just played; true after `reset`. Said by worlds that take
            more than they list. Where it is not said, valid is what was listed.
    """

    admissible_commands: list[str]
    anchor: str
    won: bool
    goal: str
    task: str
    task_type: str
    is_action_valid: NotRequired[bool]


class Player(Protocol):
    """A scripted player of one episode: an oracle, an expert or a random baseline."""

    def act(self, text: str, info: Info) -> str:
        """Returns the next command, given what the environment last said."""
        ...


class TextEnv(gymnasium.Env[str, str]):
    """Base class of all worlds.

    Attributes:
        config_class: the dataclass of the environment's options; its fields are the keyword arguments of `envs.make`.
        players: baselines by name ("random", "oracle", "expert", ...). Each is built after `reset` with
            (env, seed) and plays that one episode.
        in_process: False where a world is slow, holds a process or may crash: rollouts then play it in worker
            processes (`envs.pool`), under deadlines.
        cloned: the players whose demonstrations a starting policy is made from, where it is not the expert or else the
            oracle alone. Where their ways differ in worth, which of them pays is left to learn; one may be named twice.
        free_text: True where an action is free text (a solution, a program) rather than a command. It may have several
            lines and is handed to `step` whole; `info["admissible_commands"]` is empty.
        instructions: what a chat model is told before the first text. How it has to mark its action is said elsewhere,
            by what reads the reply.
        reference_options: options with which a second, trusted engine plays the same tasks; empty if there is none.
            `envs.bench` times the two side by side.
        step_parts: what the functions behind `step` do, by patterns of their full names
            ("my_package.zork.Zork.look*": "text"), the first that fits; for `envs.bench`.
    """

    config_class: ClassVar[type[Any]]
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]]
    observation_space: gymnasium.Space[str] = AnyText(1 << 16)
    action_space: gymnasium.Space[str] = AnyText(1 << 16)
    reference_options: ClassVar[Mapping[str, Any]] = {}
    step_parts: ClassVar[Mapping[str, str]] = {}
    in_process: ClassVar[bool] = True
    cloned: ClassVar[tuple[str, ...]] = ()
    free_text: ClassVar[bool] = False
    instructions: ClassVar[str] = (
        "You are playing a text game. Each message tells you what you see and which commands are admissible now."
    )

    @abstractmethod
    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws `count` task names of this environment's split, a pure function of (split, seed, count).

        A prefix property holds: the first k of a longer draw equal a draw of k. Finite splits are drawn
        without repetition until exhausted, then start over.
        """

    @abstractmethod
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task: `options={"task": name}`, else the first of `sample_tasks(seed, 1)`."""

    @abstractmethod
    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Plays one command. Returns text, reward, terminated, truncated, info."""

    @property
    @abstractmethod
    def evaluation_split(self) -> str:
        """The split that panels are drawn from: the same kind of data, tasks that training never plays."""

    def content_of(self, task: str) -> str:
        """What stands behind a task's name, as text, for hashes: a question and its answer, a level, a game's facts.

        Two tasks of equal name and content are the same task, wherever the data lies and whatever the options are that
        do not choose tasks. A task that is made from its name has the content that is made here, so that another
        generator shows; where a package holds the tasks and looking at each takes long, it is the package's own hash.
        Empty where a world has no more to say than the name.
        """
        return ""

    def describe_data(self) -> str:
        """Says in one line which data this environment plays (real games, generated ones, their number and hash)."""
        return type(self).__name__
