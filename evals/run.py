"""`python -m evals.run env=alfworld policy=tiny`: the success of a policy on a panel of tasks.

The policy is a language model, with or without a delta laid over its weights or several as a committee, one behind an
address that speaks OpenAI's chat completions, or one of the environment's scripted players. Every task is played once
for each temperature and seed. Success comes with 95 % intervals, for all tasks and each kind of task, beside the share
of invalid actions, turns, tokens and seconds. With `out=` every episode is kept turn by turn, and the same command
continues an evaluation that was stopped.

A fixed panel may state the turns and the sampling that belong to it. What is given on the command line instead is
played, and said. The tasks themselves, and the environment's options that choose them, are the panel's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from agents import deltas
from agents.completions import ENDPOINT, EndpointConfig, address
from agents.models import ModelConfig, is_path
from agents.prompts import parse_context
from agents.starts import locate
from envs import presets
from envs.command import run_command
from envs.config import save
from envs.config_schema import Group, group, key
from envs.errors import InputError, unknown
from envs.pool import Counts, Pool, PoolConfig, place
from envs.registry import config_class, environment_key, make_from, options_of
from envs.types import TextEnv
from evals.panel_files import Sampling, world_words
from evals.panels import Panel, choose, sampling_of
from evals.panels import read as read_panel
from evals.sampling import check_temperatures, read_seeds, repeated, unlike

if TYPE_CHECKING:
    from envs.screen import Screen
    from evals.evaluation import EvaluationFolder
    from evals.policies import Contestant

_MODEL = "a model folder, or a hub id such as Qwen/Qwen2.5-1.5B-Instruct"


def _policy(name: str) -> Mapping[str, Any]:
    """The keys that `policy=NAME` stands for; none for what must be a player, which only the environment can tell."""
    if name in presets.names("model"):
        known = {field.name for field in fields(ModelConfig)}
        section = presets.read("model", name).get("model", {})
        return {"policy": {option: value for option, value in section.items() if option in known}}
    return {"policy": {"path": name}} if is_path(name) else {}


POLICY = Group(
    "tiny",
    ModelConfig,
    names=lambda: presets.names("model"),
    accept=_policy,
    hint=f"Or a scripted player of the environment (alfworld has expert, oracle, planner and random), {_MODEL}.",
)


_EVALUATED = replace(
    POLICY,
    options=lambda name: EndpointConfig if name == ENDPOINT else ModelConfig,
    names=lambda: [*presets.names("model"), ENDPOINT],
    accept=lambda name: {} if name == ENDPOINT else _policy(name),
    hint=f"{POLICY.hint} Or {ENDPOINT}, with policy.url=http://host:port/v1 and policy.model=NAME.",
)
_TEMPERATURES = (0.0, 1.0)


@dataclass(frozen=True)
class EvalConfig:
    """Keys of `evals.run`."""

    aliases: ClassVar[Mapping[str, str]] = {"data": "env.data", "context": "policy.context"}

    env: Any = environment_key("the world to play")
    policy: Any = group("what plays", _EVALUATED)
    delta: str = key(
        "",
        "a delta file to lay over the policy's weights, for example RUN/delta.safetensors; several, separated by"
        " commas, play as a committee",
    )
    vote: Literal["average", "majority"] = key(
        "average", "how a committee decides: by the mean of its logits, token by token, or by most votes for an action"
    )
    split: str = key("", "the split that tasks are drawn from; empty is the one the environment keeps for evaluation")
    panel: str = key("", "a fixed panel of tasks, and its world; empty draws one from split and seed", presets="panel")
    tasks: int = key(300, "tasks to draw; a fixed panel has its own number", unit="tasks", minimum=1, maximum=1_000_000)
    temperatures: tuple[float, ...] | None = key(
        None,
        "sampling temperatures of a model, such as [0,0.4,1]; 0 is greedy; null takes the panel's, or [0,1] where it"
        " states none",
    )
    seed: int = key(0, "keys the drawn panel, and every draw of the policy where no seeds are given", minimum=0)
    seeds: str = key(
        "", "several seeds of the policy's draws, as 0,1,2: each task is played once with each, on the same panel"
    )
    device: Literal["auto", "cpu", "cuda"] = key("auto", "where a model runs; auto takes a GPU if there is one")
    batch: int = key(128, "episodes played at a time; more need more memory", unit="episodes", minimum=1)
    out: str = key(
        "", "a folder to keep every episode and the scores in; given again, it continues an unfinished evaluation"
    )
    pool: PoolConfig = field(default_factory=PoolConfig)


@dataclass(frozen=True)
class _Inputs:
    """What a configuration stands for.

    Attributes:
        make_env: makes the panel's environments.
        panel: the tasks.
        data: describes the data.
        model_path: where the model is; empty for a player and an endpoint.
        temperatures: what is played; None for a player.
        seeds: of the draws.
        notes: what to say about the panel.
    """

    make_env: partial[TextEnv]
    panel: Panel
    data: str
    model_path: str
    temperatures: tuple[float | None, ...]
    seeds: tuple[int, ...]
    notes: tuple[str, ...]


def main(config: EvalConfig) -> int:
    """Runs the command."""
    inputs = check(config)
    facts = facts_of(config, inputs)
    from evals.evaluation import EvaluationFolder

    folder = EvaluationFolder.check(Path(config.out), facts) if config.out else None
    contestant = _contestant(config, inputs)
    if config.panel:
        inputs = replace(inputs, notes=(*inputs.notes, *read_panel(config.panel).record(inputs.panel)))
    facts |= contestant.facts
    # What an endpoint does at temperature 0 is its own affair.
    said = (*inputs.notes, *(repeated(inputs.temperatures, inputs.seeds) if inputs.model_path else ()))
    lines = [contestant.line, f"data: {inputs.data}", f"panel: {inputs.panel}", *said]
    if folder is not None:
        folder.open(facts)
    return _play(config, inputs, contestant, folder, lines)


def check(config: EvalConfig) -> _Inputs:
    """Finds what can be wrong with the arguments, before anything slow and before anything is written.

    Raises:
        InputError: a name, a value, the data, the delta's file or the model's folder cannot be used.
    """
    check_temperatures(config.temperatures)
    given_seeds = read_seeds(config.seeds)
    split = "" if config.panel else _split(config)
    make_env, panel = choose(config.env, config.panel, split, config.seed, config.tasks, record=False)
    env = make_env()
    model_path, is_player = "", config.policy.name in env.players
    if (is_player or config.policy.name == ENDPOINT) and config.delta:
        whose = "a scripted player" if is_player else "a model behind an endpoint"
        raise InputError(f"delta= changes a model, but policy={config.policy.name} is {whose}.")
    if config.policy.name == ENDPOINT:
        address(config.policy.url)
        parse_context(config.policy.context)
    elif not is_player:
        model_path = _check_model(config, env)
    stated = sampling_of(config.panel)
    temperatures = config.temperatures or stated.temperatures or _TEMPERATURES
    typed_seeds = given_seeds or ((config.seed,) if config.seed else ())
    seeds = typed_seeds or stated.seeds or (config.seed,)
    notes = panel.notes
    if config.panel:
        given = Sampling(() if is_player else config.temperatures or (), typed_seeds)
        tasks = 0 if config.tasks == EvalConfig.tasks else config.tasks
        notes += unlike(config.panel, stated, given, config.split, tasks)
    played = (None,) if is_player else tuple(dict.fromkeys(temperatures))
    return _Inputs(make_env, panel, env.describe_data(), model_path, played, tuple(dict.fromkeys(seeds)), notes)


def _check_model(config: EvalConfig, env: TextEnv) -> str:
    """Finds the model and its deltas; returns the model's folder or hub id."""
    if not config.policy.path:
        error = unknown("policy", config.policy.name, {*env.players, *presets.names("model"), ENDPOINT})
        raise InputError(f"{error} Or {_MODEL}.")
    path = locate(config.policy.path, config.env, "policy")
    parse_context(config.policy.context)
    for delta in _deltas(config):
        deltas.check_file(delta)
    return path


def _deltas(config: EvalConfig) -> list[Path]:
    if not config.delta or os.path.isfile(config.delta):  # a folder's name may have commas
        return [Path(config.delta)] if config.delta else []
    parts = [part.strip() for part in config.delta.split(",")]
    if not all(parts):
        raise InputError(f"delta={config.delta}: one of the files has no name.")
    return [Path(part) for part in parts]


def _split(config: EvalConfig) -> str:
    """The split asked for by `split=` or `env.split=`, else the environment's own choice."""
    defaults = {field.name: field.default for field in fields(config_class(config.env.name))}
    given = options_of(config.env).get("split")
    if config.split or given != defaults.get("split"):
        return config.split or str(given)
    return make_from(config.env).evaluation_split


def facts_of(config: EvalConfig, inputs: _Inputs) -> dict[str, Any]:
    """What tells this evaluation from others: rows of evaluations that agree in all of it may stand in one file."""
    is_player = inputs.temperatures == (None,)
    model: dict[str, Any] = {} if is_player else {"max_reply_tokens": config.policy.max_reply_tokens}
    if not is_player and parse_context(config.policy.context) is not None:
        model["context"] = config.policy.context
    if inputs.model_path and config.policy.thinking != "auto":
        model["thinking"] = config.policy.thinking
    return {
        "env": config.env.name,
        "options": inputs.make_env.keywords,
        "policy": config.policy.name,
        **model,
        "seed": config.seed,
        "seeds": list(inputs.seeds),
        "temperatures": list(inputs.temperatures),
        "panel": inputs.panel.as_json(),
        "data": inputs.data,
    }


def _contestant(config: EvalConfig, inputs: _Inputs) -> Contestant:
    from evals import policies

    if inputs.temperatures == (None,):
        return policies.scripted(config.policy.name)
    if not inputs.model_path:
        return policies.behind_endpoint(config.policy, config.env.name)
    files = _deltas(config)
    return policies.model(config.policy, inputs.model_path, config.env.name, config.device, files, config.vote)


def _play(
    config: EvalConfig,
    inputs: _Inputs,
    contestant: Contestant,
    folder: EvaluationFolder | None,
    lines: list[str],
) -> int:
    from envs.screen import Screen
    from evals import evaluation, score_tables
    from evals.stopping import Stop, StoppedError

    if folder is not None:
        save(replace(config, out=""), folder / evaluation.CONFIG)
    screen = Screen(folder / evaluation.LOG if folder is not None else None)
    for line in lines:
        screen.print(line)
    stop = Stop()
    with stop.listening(), Pool(config.pool, screen.print) as pool:
        make_env = place(config.env.name, inputs.make_env.keywords, pool)
        job = evaluation.Evaluation(
            make_env, inputs.panel, contestant.policy, inputs.temperatures, inputs.seeds, config.batch
        )
        try:
            played, seconds = evaluation.evaluate(job, screen, stop, folder)
        except StoppedError:
            go_on = "Give out=DIR to be able to go on." if folder is None else "The same command goes on."
            screen.print(f"stopped. {go_on}")
            return 130
    screen.print(score_tables.overall(played))
    screen.print(score_tables.by_type(played))
    screen.print(score_tables.costs(played))
    if pool.counts != Counts():
        screen.print(pool.counts.line)
    _say_errors(played, screen)
    count = sum(len(episodes) for episodes in played.values())
    screen.print(f"{count} episodes in {seconds:.1f} seconds")
    if folder is not None:
        screen.print(f"kept in {folder.path}: {evaluation.SCORE}, {evaluation.EPISODES}, {evaluation.LOG}")
    return 0


def _say_errors(played: Mapping[float | None, Any], screen: Screen) -> None:
    """Shows the first error of an environment: a count alone helps nobody."""
    broken = [episode for episodes in played.values() for episode in episodes if episode.error is not None]
    if broken:
        screen.print(f"The environment broke {len(broken)} episodes. Task {broken[0].key.task}: {broken[0].error}")


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m evals.run",
            EvalConfig,
            main,
            expand=lambda words: [*world_words(words), *words],
            description="Scores a policy on a panel of tasks: success with 95 % intervals, in all and by kind of task.",
        )
    )
