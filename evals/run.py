"""`python -m evals.run env=alfworld policy=tiny`: the success of a policy on a panel of tasks.

The policy is a language model, with or without a delta laid over its weights, or one of the environment's scripted
players. Every task is played once at each temperature. Success comes with 95 % Wilson intervals, for all tasks and each
kind of task. With `out=` every episode is kept turn by turn, and the same command continues an evaluation that was
stopped.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from agents.models import ModelConfig, choose_device, choose_dtype, is_path, quiet
from agents.policies.scripted import ScriptedPolicy
from agents.prompts import parse_context
from agents.starts import locate
from envs import presets
from envs.command import run_command
from envs.config import save
from envs.config_schema import Group, group, key
from envs.errors import InputError, unknown
from envs.pool import Counts, Pool, PoolConfig, place
from envs.registry import config_class, env_class, environment_key, make_from, options_of
from envs.types import TextEnv
from evals.panels import Panel, choose

if TYPE_CHECKING:
    from agents.deltas import Card
    from agents.policies.transformers import TransformersPolicy
    from agents.types import Policy
    from envs.screen import Screen
    from evals.evaluation import EvaluationFolder

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


@dataclass(frozen=True)
class EvalConfig:
    """Keys of `evals.run`."""

    aliases: ClassVar[Mapping[str, str]] = {"data": "env.data", "context": "policy.context"}

    env: Any = environment_key("the world to play")
    policy: ModelConfig = group("what plays", POLICY)
    delta: str = key(
        "",
        "a delta file to lay over the policy's weights, for example RUN/delta.safetensors; several, separated by"
        " commas, play as a committee",
    )
    vote: Literal["average", "majority"] = key(
        "average", "how a committee decides: by the mean of its logits, token by token, or by most votes for an action"
    )
    split: str = key("", "the split that tasks are drawn from; empty is the one the environment keeps for evaluation")
    panel: str = key("", "a fixed panel of tasks; empty draws one from split and seed", presets="panel")
    tasks: int = key(300, "tasks to draw; a fixed panel has its own number", unit="tasks", minimum=1)
    temperatures: tuple[float, ...] = key(
        (0.0, 1.0), "sampling temperatures of a model, such as [0,0.4,1]; 0 is greedy"
    )
    seed: int = key(0, "keys the drawn panel and every draw of the policy", minimum=0)
    device: Literal["auto", "cpu", "cuda"] = key("auto", "where a model runs; auto takes a GPU if there is one")
    batch: int = key(128, "episodes played at a time; more need more memory", unit="episodes", minimum=1)
    out: str = key(
        "", "a folder to keep every episode and the scores in; given again, it continues an unfinished evaluation"
    )
    pool: PoolConfig = field(default_factory=PoolConfig)


@dataclass(frozen=True)
class _Inputs:
    """What a configuration stands for: the panel and its environments, and where the model is (empty for a player)."""

    make_env: partial[TextEnv]
    panel: Panel
    data: str
    model_path: str


def main(config: EvalConfig) -> int:
    """Runs the command."""
    inputs = check(config)
    facts = facts_of(config, inputs)
    from evals.evaluation import EvaluationFolder

    folder = EvaluationFolder.check(Path(config.out), facts) if config.out else None
    policy: Callable[[float | None], Policy]
    if inputs.model_path:
        policy, loaded, line = _load(config, inputs.model_path)
        facts |= loaded
    else:
        policy, line = lambda temperature: ScriptedPolicy(config.policy.name), f"policy: {config.policy.name}, scripted"
    lines = [line, f"data: {inputs.data}", f"panel: {inputs.panel}"]
    if folder is not None:
        folder.open(facts)
    return _play(config, inputs, policy, folder, lines)


def check(config: EvalConfig) -> _Inputs:
    """Finds what can be wrong with the arguments, before anything slow and before anything is written.

    Raises:
        InputError: a name, a value, the data, the delta's file or the model's folder cannot be used.
    """
    if not config.temperatures or not all(value >= 0 and math.isfinite(value) for value in config.temperatures):
        raise InputError(f"temperatures must be numbers of at least 0, got {list(config.temperatures)}.")
    make_env, panel = choose(config.env, config.panel, _split(config), config.seed, config.tasks)
    env = make_env()
    if config.policy.name in env.players:
        if config.delta:
            raise InputError(f"delta= changes a model, but policy={config.policy.name} is a scripted player.")
        return _Inputs(make_env, panel, env.describe_data(), "")
    if not config.policy.path:
        error = unknown("policy", config.policy.name, {*env.players, *presets.names("model")})
        raise InputError(f"{error} Or {_MODEL}.")
    path = locate(config.policy.path, config.env, "policy")
    parse_context(config.policy.context)
    for delta in _deltas(config):
        if not delta.is_file():
            raise InputError(f"delta={delta}: no such file.")
    return _Inputs(make_env, panel, env.describe_data(), path)


def _deltas(config: EvalConfig) -> list[Path]:
    if not config.delta or Path(config.delta).is_file():  # a folder's name may have commas
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
    model: dict[str, Any] = {"max_reply_tokens": config.policy.max_reply_tokens} if inputs.model_path else {}
    if inputs.model_path and parse_context(config.policy.context) is not None:
        model["context"] = config.policy.context
    if inputs.model_path and config.policy.thinking != "auto":
        model["thinking"] = config.policy.thinking
    return {
        "env": config.env.name,
        "options": inputs.make_env.keywords,
        "policy": config.policy.name,
        **model,
        "seed": config.seed,
        "temperatures": _temperatures(config, inputs),
        "panel": inputs.panel.as_json(),
        "data": inputs.data,
    }


def _temperatures(config: EvalConfig, inputs: _Inputs) -> list[float | None]:
    return list(dict.fromkeys(config.temperatures)) if inputs.model_path else [None]


def _load(config: EvalConfig, path: str) -> tuple[Callable[[float | None], Policy], dict[str, Any], str]:
    """Loads the model and lays the delta over it.

    Returns:
        What makes its policy at a temperature, its hashes, and a line that describes it.

    Raises:
        InputError: it cannot be loaded, or the delta was made for another model.
    """
    quiet()
    from agents import deltas
    from agents.policies.transformers import Sampling, TransformersPolicy, load
    from agents.prompts import manner_of

    device, dtype = choose_device(config.device), choose_dtype(config.policy.dtype, path)
    files = _deltas(config)
    parts = [deltas.load(file) for file in files]
    model, tokenizer = load(path, device, dtype)
    facts: dict[str, Any] = {"dtype": str(dtype), "base_sha256": deltas.base_fingerprint(model), "delta_sha256": None}
    name = config.policy.name.rstrip("/").rpartition("/")[2]
    line = f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters"
    seat: Callable[[TransformersPolicy], Policy] = lambda alone: alone  # noqa: E731
    if len(parts) == 1:
        ((tensors, card),) = parts
        deltas.verify(model, tensors, card)
        deltas.apply(model, tensors)
        facts["delta_sha256"] = card.tensors_sha256
        name, line = f"{name} with delta", f"{line}, with the delta of layer {card.target} from {config.delta}"
    elif parts:
        seat, said = _committee(config, model, files, parts)
        facts |= {"delta_sha256": [card.tensors_sha256 for _, card in parts], "vote": config.vote}
        line = f"{line}, {said}"

    def policy(temperature: float | None) -> Policy:
        sampling = Sampling(temperature or 0.0, config.policy.max_reply_tokens)
        manner = manner_of(env_class(config.env.name), config.policy.context, thinking=config.policy.thinking)
        return seat(TransformersPolicy(model, tokenizer, sampling, name=name, manner=manner))

    return policy, facts, f"policy: {config.policy.name}, {line}, {dtype} on {device}"


def _committee(
    config: EvalConfig,
    model: Any,  # noqa: ANN401 - a model
    files: Sequence[Path],
    parts: Sequence[tuple[Any, Card]],
) -> tuple[Callable[[TransformersPolicy], Policy], str]:
    """Seats the deltas on one model; returns what makes a policy their committee, and words for it."""
    from agents.delta_bank import DeltaBank
    from agents.policies.committee import Committee

    bank = DeltaBank(model)
    names = [f"{card.target} ({number})" for number, (_, card) in enumerate(parts)]
    for name, file, (tensors, card) in zip(names, files, parts, strict=True):
        try:
            bank.put(name, tensors, card)
        except InputError as error:
            raise InputError(f"delta={file}: {error}") from None
    layers = ", ".join(card.target for _, card in parts)
    said = f"a committee ({config.vote}) of the deltas of layers {layers}"
    return lambda alone: Committee(alone, bank, names, config.vote), said


def _play(
    config: EvalConfig,
    inputs: _Inputs,
    policy: Callable[[float | None], Policy],
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
            make_env, inputs.panel, policy, _temperatures(config, inputs), config.seed, config.batch
        )
        try:
            played, seconds = evaluation.evaluate(job, screen, stop, folder)
        except StoppedError:
            go_on = "Give out=DIR to be able to go on." if folder is None else "The same command goes on."
            screen.print(f"stopped. {go_on}")
            return 130
    screen.print(score_tables.overall(played))
    screen.print(score_tables.by_type(played))
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
            description="Scores a policy on a panel of tasks: success with 95 % intervals, in all and by kind of task.",
        )
    )
