"""The contract of `envs.types` as executable checks, for `python -m envs.check` and for the tests of every environment.

A check takes a `Subject` and returns in a few words what it saw; it raises `ContractError` where the environment breaks
a rule. Two environments made with the same options stand in for two processes: what they disagree on depends on hidden
state.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any

from envs.errors import InputError, KeystoneError
from envs.registry import make
from envs.types import Info, Player, TextEnv

_NONSENSE = "qwertyuiop the zxcvbnm 99"
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


def check_options(subject: Subject) -> str:
    """The options are a frozen dataclass with defaults whose every field says what it means."""
    with subject.fresh() as env:
        options = env.config_class
    _require(dataclasses.is_dataclass(options), "config_class is a dataclass")
    parameters: Any = vars(options)["__dataclass_params__"]
    _require(parameters.frozen, "config_class is frozen")
    for field in dataclasses.fields(options):
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        _require(has_default, f"option {field.name!r} has a default")
        _require(bool(field.metadata.get("help")), f"option {field.name!r} has a 'help' in its metadata")
    return f"{len(dataclasses.fields(options))} options"


def check_tasks(subject: Subject) -> str:
    """Task draws are pure and have the prefix property, and a task's name brings it back."""
    with subject.fresh() as one, subject.fresh() as other:
        tasks = one.sample_tasks(subject.seed, subject.num_tasks)
        _require(len(tasks) == subject.num_tasks, f"sample_tasks(seed, {subject.num_tasks}) gives that many")
        _require(all(isinstance(task, str) and task for task in tasks), "task names are texts")
        _require(other.sample_tasks(subject.seed, subject.num_tasks) == tasks, "equal draws give equal tasks")
        longer = other.sample_tasks(subject.seed, 3 * subject.num_tasks + 1)
        _require(longer[: subject.num_tasks] == tasks, "a longer draw starts with the shorter one")
        _require(one.sample_tasks(subject.seed, 0) == [], "a draw of none is empty")
        for task in tasks:
            text, info = one.reset(options={"task": task})
            _require(info["task"] == task, f"reset to task {task!r} starts it, not {info['task']!r}")
            _require(other.reset(options={"task": task}) == (text, info), f"task {task!r} starts the same everywhere")
        with suppress(InputError):
            one.reset(options={"task": _NONSENSE})
            raise ContractError("broken rule: a task that does not exist is refused with an InputError")
    return f"{len(set(tasks))} tasks"


def check_splits(subject: Subject) -> str:
    """There is a split for evaluation, whose tasks are none of those of training."""
    with subject.fresh() as env:
        split: object = env.evaluation_split
        names = [field.name for field in dataclasses.fields(env.config_class)]
    _require("split" in names, "there is an option 'split'")
    _require(isinstance(split, str) and split != "train", f"evaluation_split names a split, not {split!r}")
    with subject.fresh(split="train") as training, subject.fresh(split=split) as evaluation:
        count = 10 * subject.num_tasks
        shared = {*training.sample_tasks(subject.seed, count)} & {*evaluation.sample_tasks(subject.seed, count)}
    _require(not shared, f"training never plays a task of evaluation, such as {min(shared, default='')!r}")
    return f"evaluation on {split}"


def check_reset(subject: Subject) -> str:
    """`reset(seed=...)` starts the first task of that seed, always the same way, whatever was played before."""
    with subject.fresh() as env:
        first = env.reset(seed=subject.seed)
        _check_said(*first)
        _require(first[1]["task"] == env.sample_tasks(subject.seed, 1)[0], "reset(seed) starts the seed's first task")
        env.step(first[1]["admissible_commands"][-1])
        _require(env.reset(seed=subject.seed) == first, "reset after a step gives the same start")
    return "same start twice"


def check_commands(subject: Subject) -> str:
    """Every admissible command is answered as something that was done; nonsense is answered and changes nothing."""
    tried = 0
    with subject.fresh() as env:
        for task in env.sample_tasks(subject.seed, subject.num_tasks):
            _, info = env.reset(options={"task": task})
            refusal, reward, _, _, after = env.step(_NONSENSE)
            _check_said(refusal, after)
            _require(reward <= 0 and not after["won"], "nonsense is not rewarded")
            same = after["admissible_commands"] == info["admissible_commands"]
            _require(same, "nonsense leaves the admissible commands as they were")
            for empty in ("", "  "):
                env.step(empty)
            commands = info["admissible_commands"]
            _require(bool(commands), f"task {task!r} starts with an admissible command")
            for command in random.Random(subject.seed).sample(commands, min(len(commands), 10)):
                env.reset(options={"task": task})
                text = env.step(command)[0]
                _require(text != refusal, f"admissible command {command!r} is not answered like nonsense: {text!r}")
                tried += 1
    return f"{tried} commands"


def check_episodes(subject: Subject) -> str:
    """Episodes of the random player end, keep the contract at every turn, replay exactly and stay finished."""
    turns = 0
    with subject.fresh() as env, subject.fresh() as other:
        for task in env.sample_tasks(subject.seed, subject.num_tasks):
            commands, said = play(env, task, "random", subject.seed)
            other.reset(options={"task": task})
            _require([other.step(command) for command in commands] == said, f"task {task!r} replays exactly")
            _, _, terminated, truncated, info = said[-1]
            for command in (info["admissible_commands"] or [_NONSENSE])[:1] * 2:
                _, reward, still_terminated, still_truncated, after = env.step(command)
                still = (still_terminated, still_truncated, after["won"]) == (terminated, truncated, info["won"])
                _require(still, "a finished episode stays finished as it was")
                _require(reward == 0, "a finished episode pays nothing more")
            turns += len(commands)
    return f"{turns} turns"


def check_players(subject: Subject) -> str:
    """There is a random player, every player plays, and an oracle wins."""
    wins = []
    with subject.fresh() as env:
        _require("random" in env.players, "there is a player named 'random'")
        for name in sorted(env.players):
            tasks = env.sample_tasks(subject.seed, subject.num_tasks)
            won = sum(play(env, task, name, subject.seed)[1][-1][4]["won"] for task in tasks)
            _require(name != "oracle" or won == len(tasks), f"the oracle wins every task, not {won} of {len(tasks)}")
            wins.append(f"{name} {won}/{len(tasks)}")
    return "won: " + ", ".join(wins)


CHECKS: Mapping[str, Callable[[Subject], str]] = {
    "options": check_options,
    "tasks": check_tasks,
    "splits": check_splits,
    "reset": check_reset,
    "commands": check_commands,
    "episodes": check_episodes,
    "players": check_players,
}


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
    _check_said(text, info)
    actor: Player = env.players[player](env, seed)
    commands: list[str] = []
    said: list[tuple[str, float, bool, bool, Info]] = []
    while len(commands) < _MOST_TURNS:
        commands.append(actor.act(text, info))
        said.append(env.step(commands[-1]))
        text, reward, terminated, truncated, info = said[-1]
        _check_said(text, info)
        _require(info["task"] == task, "the task stays the same during an episode")
        _require(math.isfinite(reward), f"rewards are finite, not {reward}")
        _require(not (terminated and truncated), "an episode that is won or lost is not also cut short")
        _require(terminated or not info["won"], "an episode that is won is terminated")
        if terminated or truncated:
            return commands, said
    raise ContractError(f"an episode ends within {_MOST_TURNS} turns; task {task!r} played by {player!r} does not")


def _check_said(text: str, info: Info) -> None:
    kinds = {"admissible_commands": list, "anchor": str, "won": bool, "goal": str, "task": str, "task_type": str}
    _require(isinstance(text, str) and bool(text.strip()), "an observation is a text that says something")
    found: dict[str, Any] = dict(info)
    _require(found.keys() >= kinds.keys(), f"info has the keys {sorted(kinds.keys() - found.keys())}")
    for name, kind in kinds.items():
        _require(isinstance(found[name], kind), f"info[{name!r}] is a {kind.__name__}, not {found[name]!r}")
    commands = found["admissible_commands"]
    _require(commands == sorted(set(commands)), "admissible_commands are sorted and differ from each other")


def _require(kept: bool, rule: str) -> None:
    if not kept:
        raise ContractError(f"broken rule: {rule}")
