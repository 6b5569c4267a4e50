"""`python -m evals.interference deltas=A,B env=alfworld`: do deltas on different blocks help or hurt each other?

Scores the base, each delta alone and all together on one panel, task by task: what each alone gains over the base, what
all together gain, and the interaction, together minus the sum of the gains alone. A delta that was trained on top of
another one (its base is the first's result) is scored in sequence: the first alone, then both. All play in one process
on one model, switched by `agents.delta_bank`. With `out=` every episode is kept, and the same command goes on where a
stop or a kill ended it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from agents.models import ModelConfig
from envs.command import run_command
from envs.config import save
from envs.config_schema import group, key, listed
from envs.errors import InputError
from envs.files import understood
from envs.pool import Pool, PoolConfig, counts_of, place
from envs.registry import env_class, environment_key
from envs.types import TextEnv
from evals import figures, findings
from evals.panels import Panel, choose
from evals.run import POLICY
from evals.statistics import paired, quantile, wilson
from evals.stopping import Stop, StoppedError

if TYPE_CHECKING:
    from agents.delta_bank import DeltaBank
    from agents.types import Episode, Policy
    from envs.screen import Screen
    from evals.evaluation import EvaluationFolder

BASE, TOGETHER = "base", "together"
Wins = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class InterferenceConfig:
    """Keys of `evals.interference`."""

    deltas: str = key("", "the delta files, separated by commas")
    env: Any = environment_key("the world to play")
    policy: ModelConfig = group("the base", POLICY)
    panel: str = key("", "a fixed panel; by default one is drawn from the seed", presets="panel")
    panel_tasks: int = key(300, "size of the drawn panel", unit="tasks", minimum=1)
    temperature: float = key(0.4, "sampling temperature; 0 takes the likeliest token", minimum=0)
    seed: int = key(0, "keys the panel and the sampling", minimum=0)
    device: str = key("auto", "where the model runs", choices=("auto", "cpu", "cuda"))
    out: str = key("", "a folder to keep every episode in; given again, it goes on with what was stopped")
    pool: PoolConfig = field(default_factory=PoolConfig)


def main(config: InterferenceConfig) -> int:
    """Runs the command."""
    paths = [Path(part) for part in listed(config.deltas)]
    if len(paths) < 2:
        raise InputError(f"deltas= needs two files or more, separated by commas; got {len(paths)}.")
    from envs.screen import Screen
    from evals.evaluation import LOG

    try:
        wins = score_all(config, paths)
    except StoppedError:
        print(f"stopped. {'The same command goes on.' if config.out else 'Give out=DIR to be able to go on.'}")
        return 130
    screen = Screen(Path(config.out) / LOG if config.out else None)
    screen.print(table(wins))
    for line in sentences(wins):
        screen.print(line)
    return 0


def score_all(config: InterferenceConfig, paths: list[Path]) -> dict[str, NDArray[np.bool_]]:
    """Plays the panel with the base, each delta alone, all together, and each pair in sequence.

    Returns:
        Success of each task by name, (N,).

    Raises:
        InputError: a delta is of another base, two change the same tensor, or the folder holds something else.
        StoppedError: a stop was asked for; the rows of all ended episodes are in the folder, if there is one.
    """
    from agents.delta_bank import DeltaBank
    from agents.models import choose_device, choose_dtype, quiet
    from agents.policies.transformers import Sampling, TransformersPolicy, load
    from agents.prompts import manner_of
    from agents.starts import locate
    from evals.evaluation import CONFIG, EvaluationFolder

    quiet()
    if not config.policy.path:
        raise InputError(f"policy={config.policy.name} is no model; deltas change a model.")
    path = locate(config.policy.path, config.env, "policy")
    make = env_class(config.env.name)
    split = make().evaluation_split if not config.panel else ""
    make_env, panel = choose(config.env, config.panel, split, config.seed, config.panel_tasks)
    facts = _facts(config, make_env, panel)
    folder = EvaluationFolder.check(Path(config.out), facts) if config.out else None
    model, tokenizer = load(path, choose_device(config.device), choose_dtype(config.policy.dtype, path))
    bank = DeltaBank(model)
    names = fill(bank, paths)
    if folder is not None:
        folder.open(facts | {"scored": {name: bank.result_sha256(name) for name in names}})
        save(replace(config, out=""), folder / CONFIG)
    policy = TransformersPolicy(
        model,
        tokenizer,
        Sampling(config.temperature, config.policy.max_reply_tokens),
        name="interference",
        manner=manner_of(make, config.policy.context, thinking=config.policy.thinking),
    )
    return _play(config, bank, names, policy, panel, make_env, folder)


def _facts(config: InterferenceConfig, make_env: partial[TextEnv], panel: Panel) -> dict[str, Any]:
    """What tells this scoring from others, but for the weights."""
    asked = config.policy
    return {
        "env": config.env.name,
        "options": make_env.keywords,
        "policy": asked.name,
        **{name: getattr(asked, name) for name in ("dtype", "max_reply_tokens", "context", "thinking")},
        "temperature": config.temperature,
        "seed": config.seed,
        "panel": panel.as_json(),
    }


def _play(
    config: InterferenceConfig,
    bank: DeltaBank,
    names: list[str],
    policy: Policy,
    panel: Panel,
    make_env: partial[TextEnv],
    folder: EvaluationFolder | None,
) -> dict[str, NDArray[np.bool_]]:
    """Plays what the folder does not hold yet, and notes there what it took and what came of it."""
    from envs.screen import Screen
    from evals.evaluation import EPISODES, LOG, SCORE

    known: dict[tuple[str, str], bool] = {}
    if folder is not None:
        folder.keep(EPISODES, lambda row: True)  # a row that a kill cut off
        with understood(folder / EPISODES, "a file of episodes"):
            known = {(row["arm"], row["task"]): bool(row["won"]) for row in folder.rows(EPISODES)}
    found: dict[str, NDArray[np.bool_]] = {}
    screen, stop = Screen(folder / LOG if folder is not None else None), Stop()
    with stop.listening(), Pool(config.pool, screen.print) as pool:
        placed = place(config.env.name, make_env.keywords, pool)
        started, before = time.perf_counter(), counts_of(placed)
        try:
            for name in names:
                done = {task: known[name, task] for task in panel.tasks if (name, task) in known}
                with bank.using(name):
                    found[name] = _score(name, done, placed, policy, panel, config.seed, screen, stop, folder)
        finally:
            if folder is not None:
                folder.add_cost(time.perf_counter() - started, counts_of(placed).since(before))
    if folder is not None:
        scores = [{"arm": name, "success": float(won.mean())} for name, won in found.items()]
        folder.write_json(SCORE, {**folder.read_json(SCORE), "finished": True, "scores": scores})
    return found


def _score(
    name: str,
    done: dict[str, bool],
    make_env: Callable[[], TextEnv],
    policy: Policy,
    panel: Panel,
    seed: int,
    screen: Screen,
    stop: Stop,
    folder: EvaluationFolder | None,
) -> NDArray[np.bool_]:
    """Plays a panel's tasks that are not done with the weights as they are; success of each task, (N,)."""
    from evals.evaluation import EPISODES
    from evals.scoring import episode_row, play

    with screen.bar(name, len(panel.tasks)) as bar:
        bar.advance(len(done))

        def ended(episode: Episode) -> None:
            if folder is not None:
                folder.append(EPISODES, [episode_row(episode, arm=name)])
            bar.advance()

        missing = Panel(panel.name, tuple(task for task in panel.tasks if task not in done))
        new = play(make_env, policy, missing, seed, ended=ended, stop=stop)
        stop.check()
    won = done | {episode.key.task: episode.won for episode in new}
    return np.array([won[task] for task in panel.tasks], dtype=bool)


def fill(bank: Any, paths: list[Path]) -> list[str]:  # noqa: ANN401 - a DeltaBank
    """Puts the deltas, all of them together, and those trained on top of others into a bank.

    Returns:
        What there is to score, the base first.

    Raises:
        InputError: a delta is neither of this base nor of one of the others' results, or two change the same tensor.
    """
    from agents import deltas

    loaded = [(path, *deltas.load(path)) for path in paths]
    first = [part for part in loaded if part[2].base_sha256 == bank.base_sha256]
    names = [BASE]
    for path, tensors, card in first:
        name = f"{card.target} ({path.parent.name or path.stem})"
        bank.put(name, tensors, card)
        names.append(name)
    alone = dict(zip(names[1:], first, strict=True))
    if len(first) > 1:
        bank.put(TOGETHER, *deltas.compose([(tensors, card) for _, tensors, card in first]))
        names.append(TOGETHER)
    for path, tensors, card in (part for part in loaded if part[2].base_sha256 != bank.base_sha256):
        below = next((name for name in alone if bank.result_sha256(name) == card.base_sha256), None)
        if below is None:
            raise InputError(f"delta={path} was made for base {card.base_sha256[:12]}, which is not among those given.")
        _, own, its = alone[below]
        name = f"{below}, then {card.target}"
        joint = {**own, **tensors}
        bank.put(name, joint, deltas.Card(bank.base_sha256, deltas.fingerprint(joint), card.target, its.details))
        names.append(name)
    return names


def table(wins: Wins) -> Table:
    """Success of each, and its gain over the base."""
    result = Table(title=f"{len(wins[BASE])} tasks")
    for column in ("", "success", "95 % interval", "minus base", "95 % interval", "p"):
        result.add_column(column, justify="left" if not column else "right")
    for name, won in wins.items():
        interval = wilson(int(won.sum()), len(won))
        row = [name, findings.percent(float(won.mean())), figures.range_of_percent(interval)]
        if name != BASE:
            pair = paired(won, wins[BASE])
            row += [
                findings.in_points(pair.difference),
                findings.range_of_points(pair.interval),
                figures.p_value(pair.p),
            ]
        result.add_row(*row)
    return result


def interaction(wins: Wins) -> tuple[float, tuple[float, float]]:
    """Together minus base, minus the sum of what each alone gains; with its interval over tasks."""
    base = wins[BASE].astype(float)
    alone = [won - base for name, won in wins.items() if name not in (BASE, TOGETHER) and ", then " not in name]
    extra_N = (wins[TOGETHER] - base) - np.sum(alone, axis=0)
    value = float(extra_N.mean())
    half = quantile(0.95) * float(extra_N.std(ddof=1)) / len(extra_N) ** 0.5 if len(extra_N) > 1 else float("inf")
    return value, (value - half, value + half)


def sentences(wins: Wins) -> list[str]:
    """What the figures say."""
    if TOGETHER not in wins:
        return []
    value, (low, high) = interaction(wins)
    shown = "they help each other" if value > 0 else "they hurt each other"
    verdict = "no interaction is shown" if low <= 0 <= high else shown
    return [
        f"Together minus the sum of the gains alone: {findings.in_points(value)} points "
        f"({findings.range_of_points((low, high))}): {verdict}."
    ]


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m evals.interference",
            InterferenceConfig,
            main,
            description="Scores deltas alone and together on one panel.",
        )
    )
