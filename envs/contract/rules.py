"""The rules of the game: options, tasks, splits, starts, commands, episodes and players.

Two environments made with the same options stand in for two processes: what they disagree on depends on hidden state.
"""

from __future__ import annotations

import dataclasses
import random
from contextlib import suppress
from typing import Any

from envs.contract.subject import ContractError, Subject, action_of, check_said, play, require
from envs.errors import InputError
from envs.types import Info, TextEnv

_NONSENSE = "qwertyuiop the zxcvbnm 99"
# No number, which a problem may have as its answer.
_NO_ANSWER = "qwertyuiop the zxcvbnm"


def check_options(subject: Subject) -> str:
    """The options are a frozen dataclass with defaults whose every field says what it means."""
    with subject.fresh() as env:
        options = env.config_class
    require(dataclasses.is_dataclass(options), "config_class is a dataclass")
    parameters: Any = vars(options)["__dataclass_params__"]
    require(parameters.frozen, "config_class is frozen")
    for field in dataclasses.fields(options):
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        require(has_default, f"option {field.name!r} has a default")
        require(bool(field.metadata.get("help")), f"option {field.name!r} has a 'help' in its metadata")
    return f"{len(dataclasses.fields(options))} options"


def check_tasks(subject: Subject) -> str:
    """Task draws are pure and have the prefix property, and a task's name brings it back."""
    with subject.fresh() as one, subject.fresh() as other:
        tasks = one.sample_tasks(subject.seed, subject.num_tasks)
        require(len(tasks) == subject.num_tasks, f"sample_tasks(seed, {subject.num_tasks}) gives that many")
        require(all(isinstance(task, str) and task for task in tasks), "task names are texts")
        require(other.sample_tasks(subject.seed, subject.num_tasks) == tasks, "equal draws give equal tasks")
        longer = other.sample_tasks(subject.seed, 3 * subject.num_tasks + 1)
        require(longer[: subject.num_tasks] == tasks, "a longer draw starts with the shorter one")
        require(one.sample_tasks(subject.seed, 0) == [], "a draw of none is empty")
        for task in tasks:
            text, info = one.reset(options={"task": task})
            require(info["task"] == task, f"reset to task {task!r} starts it, not {info['task']!r}")
            require(other.reset(options={"task": task}) == (text, info), f"task {task!r} starts the same everywhere")
        with suppress(InputError):
            one.reset(options={"task": _NONSENSE})
            raise ContractError("broken rule: a task that does not exist is refused with an InputError")
    return f"{len(set(tasks))} tasks"


def check_splits(subject: Subject) -> str:
    """There is a split for evaluation, whose tasks are none of those of training."""
    with subject.fresh() as env:
        split: object = env.evaluation_split
        names = [field.name for field in dataclasses.fields(env.config_class)]
    require("split" in names, "there is an option 'split'")
    require(isinstance(split, str) and split != "train", f"evaluation_split names a split, not {split!r}")
    with subject.fresh(split="train") as training, subject.fresh(split=split) as evaluation:
        count = 10 * subject.num_tasks
        shared = {*training.sample_tasks(subject.seed, count)} & {*evaluation.sample_tasks(subject.seed, count)}
    require(not shared, f"training never plays a task of evaluation, such as {min(shared, default='')!r}")
    return f"evaluation on {split}"


def check_reset(subject: Subject) -> str:
    """`reset(seed=...)` starts the first task of that seed, always the same way, whatever was played before."""
    with subject.fresh() as env, subject.fresh() as other:
        first = env.reset(seed=subject.seed)
        check_said(env, *first)
        require(first[1]["task"] == env.sample_tasks(subject.seed, 1)[0], "reset(seed) starts the seed's first task")
        require(other.reset(seed=subject.seed) == first, "the same seed gives the same text and info")
        env.step(action_of(env, *first, subject.seed))
        require(env.reset(seed=subject.seed) == first, "reset after a step gives the same start")
    return "same start three times"


def check_commands(subject: Subject) -> str:
    """Every admissible command is answered as something that was done; nonsense is answered and changes nothing."""
    tried = 0
    with subject.fresh() as env:
        nonsense = _NO_ANSWER if env.free_text else _NONSENSE
        for task in env.sample_tasks(subject.seed, subject.num_tasks):
            start = env.reset(options={"task": task})
            commands = _some_commands(env, *start, subject.seed)
            env.reset(options={"task": task})
            refusal, reward, _, _, after = env.step(nonsense)
            check_said(env, refusal, after)
            require(reward <= 0 and not after["won"], "nonsense is not rewarded")
            same = after["admissible_commands"] == start[1]["admissible_commands"]
            require(same, "nonsense leaves the admissible commands as they were")
            taken = not env.free_text and after.get("is_action_valid", False)
            require(not taken, "nonsense is not said to be a valid action")
            for empty in ("", "  "):
                env.step(empty)
            for command in commands:
                env.reset(options={"task": task})
                text, *_, after = env.step(command)
                heeded = env.free_text or text != refusal
                require(heeded, f"admissible command {command!r} is not answered like nonsense: {text!r}")
                require(after.get("is_action_valid", True), f"admissible command {command!r} is a valid action")
                tried += 1
    return f"{tried} commands"


def _some_commands(env: TextEnv, text: str, info: Info, seed: int) -> list[str]:
    """Returns up to ten commands that can be given at the start; one where actions are free text."""
    last = action_of(env, text, info, seed)
    commands = info["admissible_commands"] or [last]
    return random.Random(seed).sample(commands, min(len(commands), 10))


def check_episodes(subject: Subject) -> str:
    """Episodes of the random player end, keep the contract at every turn, replay exactly and stay finished."""
    turns = 0
    with subject.fresh() as env, subject.fresh() as other:
        for task in env.sample_tasks(subject.seed, subject.num_tasks):
            commands, said = play(env, task, "random", subject.seed)
            other.reset(options={"task": task})
            require([other.step(command) for command in commands] == said, f"task {task!r} replays exactly")
            _, _, terminated, truncated, info = said[-1]
            for command in (info["admissible_commands"] or [_NONSENSE])[:1] * 2:
                _, reward, still_terminated, still_truncated, after = env.step(command)
                still = (still_terminated, still_truncated, after["won"]) == (terminated, truncated, info["won"])
                require(still, "a finished episode stays finished as it was")
                require(reward == 0, "a finished episode pays nothing more")
            turns += len(commands)
    return f"{turns} turns"


def check_players(subject: Subject) -> str:
    """There is a random player, every player plays, and an oracle wins."""
    wins = []
    with subject.fresh() as env:
        require("random" in env.players, "there is a player named 'random'")
        for name in sorted(env.players):
            tasks = env.sample_tasks(subject.seed, subject.num_tasks)
            won = sum(play(env, task, name, subject.seed)[1][-1][4]["won"] for task in tasks)
            require(name != "oracle" or won == len(tasks), f"the oracle wins every task, not {won} of {len(tasks)}")
            wins.append(f"{name} {won}/{len(tasks)}")
    return "won: " + ", ".join(wins)
