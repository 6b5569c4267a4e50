"""The rules that keep a long run alive: spaces, closing, mistakes, pickling, and the same play in another process.

What travels between processes is how a world is made (its name and options), what it is asked and what it answers.
These must pickle. An environment itself need not, as it may hold a process or an open file; but if it does pickle, the
copy must go on as the original does.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, cast

from envs.contract.second_process import Request, play_elsewhere
from envs.contract.subject import ContractError, Subject, action_of, play, require
from envs.registry import make
from envs.types import TextEnv

# Enough for these checks, which start processes or play again what others have played.
_MOST_TASKS = 2


def check_spaces(subject: Subject) -> str:
    """All texts are in the observation space, all admissible commands and all that players do in the action space."""
    seen = 0
    with subject.fresh() as env:
        for task in env.sample_tasks(subject.seed, min(subject.num_tasks, _MOST_TASKS)):
            for player in sorted({"random", "oracle"} & set(env.players)):
                start = env.reset(options={"task": task})
                commands, said = play(env, task, player, subject.seed)
                for text, info in [start, *((answer[0], answer[4]) for answer in said)]:
                    require(env.observation_space.contains(text), f"texts are in observation_space, unlike {text!r}")
                    commands += info["admissible_commands"]
                for command in commands:
                    require(env.action_space.contains(command), f"commands are in action_space, unlike {command!r}")
                seen += len(said) + 1
    return f"{seen} texts"


def check_closing(subject: Subject) -> str:
    """An environment can be closed twice, whether or not it was played."""
    for played in (False, True):
        env = make(subject.name, **subject.options)
        if played:
            env.step(action_of(env, *env.reset(seed=subject.seed), subject.seed))
        env.close()
        try:
            env.close()
        except Exception as error:  # A world may fail in any way of its own.
            raise ContractError(f"broken rule: an environment can be closed twice ({error!r})") from error
    return "closed twice, unused and used"


def check_errors(subject: Subject) -> str:
    """After a mistake of its user, `reset` starts a task as if nothing had been."""
    mistakes: dict[str, Callable[[TextEnv], object]] = {
        "a step before the first reset": lambda env: env.step("look"),
        "a task that does not exist": lambda env: env.reset(options={"task": "qwertyuiop"}),
        "an unknown reset option": lambda env: env.reset(options={"qwertyuiop": 1}),
        "an action that is no text": lambda env: env.step(cast(Any, None)),
    }
    with subject.fresh() as env, subject.fresh() as other:
        task = other.sample_tasks(subject.seed, 1)[0]
        start = other.reset(options={"task": task})
        for name, make_mistake in mistakes.items():
            # How a mistake is answered is up to the world.
            with suppress(Exception):
                make_mistake(env)
            require(env.reset(options={"task": task}) == start, f"after {name}, reset starts a task as ever")
            env.step(action_of(env, *start, subject.seed))
    return f"{len(mistakes)} mistakes"


def check_pickling(subject: Subject) -> str:
    """Name, options and answers pickle; an environment that pickles goes on as the original."""
    recipe = subject.name, dict(subject.options)
    require(_copied(recipe) == recipe, "name and options pickle")
    with subject.fresh() as env:
        options = env.config_class(**subject.options)
        require(_copied(options) == options, "the configuration pickles")
        start = env.reset(seed=subject.seed)
        require(_copied(start) == start, "what reset returns pickles")
        command = action_of(env, *start, subject.seed)
        stored = _stored(env)
        answer = env.step(command)
        require(_copied(answer) == answer, "what step returns pickles")
        if stored is None:
            return "name, options and answers; the environment itself does not"
        with closing(pickle.loads(stored)) as copy:
            require(copy.step(command) == answer, "a pickled environment goes on as the original")
    return "name, options, answers and the environment itself"


def check_processes(subject: Subject) -> str:
    """Another process draws the same tasks, and the same commands are answered there as here."""
    with subject.fresh() as env:
        tasks = env.sample_tasks(subject.seed, min(subject.num_tasks, _MOST_TASKS))
        starts = {task: env.reset(options={"task": task}) for task in tasks}
        here = {task: play(env, task, "random", subject.seed) for task in tasks}
        target = f"{type(env).__module__}:{type(env).__qualname__}"
    commands = {task: played for task, (played, _) in here.items()}
    there = play_elsewhere(Request(target, dict(subject.options), subject.seed, len(tasks), commands))
    require(there.tasks == tasks, "another process draws the same tasks")
    for task, (_, said) in here.items():
        require(there.starts[task] == starts[task], f"task {task!r} starts in another process as here")
        require(there.said[task] == said, f"task {task!r} is answered in another process as here")
    return f"{sum(len(said) for _, said in here.values())} turns in a second process"


def _copied(value: Any) -> Any:  # noqa: ANN401 - anything
    try:
        return pickle.loads(pickle.dumps(value))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ContractError(f"broken rule: {value!r} pickles ({error})") from None


def _stored(env: TextEnv) -> bytes | None:
    # Whatever a world holds may refuse, with any error of its own.
    with suppress(Exception):
        return pickle.dumps(env)
    return None
