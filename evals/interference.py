"""`python -m evals.interference deltas=A,B env=alfworld`: do deltas on different blocks help or hurt each other?

Scores the base, each delta alone and all together on one panel, task by task: what each alone gains over the base, what
all together gain, and the interaction, together minus the sum of the gains alone. A delta that was trained on top of
another one (its base is the first's result) is scored in sequence: the first alone, then both. All play in one process
on one model, switched by `agents.delta_bank`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from agents.models import ModelConfig
from envs.command import run_command
from envs.config_schema import group, key, listed
from envs.errors import InputError
from envs.pool import Pool, PoolConfig, place
from envs.registry import env_class, environment_key
from evals import findings
from evals.panels import choose
from evals.run import POLICY
from evals.statistics import paired, quantile, wilson

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
    pool: PoolConfig = field(default_factory=PoolConfig)


def main(config: InterferenceConfig) -> int:
    """Runs the command."""
    paths = [Path(part) for part in listed(config.deltas)]
    if len(paths) < 2:
        raise InputError(f"deltas= needs two files or more, separated by commas; got {len(paths)}.")
    wins = score_all(config, paths)
    Console().print(table(wins))
    for line in sentences(wins):
        print(line)
    return 0


def score_all(config: InterferenceConfig, paths: list[Path]) -> dict[str, NDArray[np.bool_]]:
    """Plays the panel with the base, each delta alone, all together, and each pair in sequence.

    Returns:
        Success of each task by name, (N,).

    Raises:
        InputError: a delta is of another base, or two change the same tensor.
    """
    from agents import deltas
    from agents.delta_bank import DeltaBank
    from agents.models import choose_device, choose_dtype, quiet
    from agents.policies.transformers import Sampling, TransformersPolicy, load
    from agents.prompts import manner_of
    from agents.starts import locate
    from envs.screen import Screen
    from evals.scoring import play
    from evals.scoring import wins as won

    quiet()
    if not config.policy.path:
        raise InputError(f"policy={config.policy.name} is no model; deltas change a model.")
    path = locate(config.policy.path, config.env, "policy")
    model, tokenizer = load(path, choose_device(config.device), choose_dtype(config.policy.dtype, path))
    bank = DeltaBank(model)
    names = fill(bank, paths)
    make = env_class(config.env.name)
    split = make().evaluation_split if not config.panel else ""
    make_env, panel = choose(config.env, config.panel, split, config.seed, config.panel_tasks)
    screen = Screen(None)
    sampling = Sampling(config.temperature, config.policy.max_reply_tokens)
    policy = TransformersPolicy(
        model,
        tokenizer,
        sampling,
        name="interference",
        manner=manner_of(make, config.policy.context, thinking=config.policy.thinking),
    )
    found: dict[str, NDArray[np.bool_]] = {}
    with Pool(config.pool, screen.print) as pool:
        placed = place(config.env.name, make_env.keywords, pool)
        for name in names:
            with bank.using(name), screen.bar(name, len(panel.tasks)) as bar:
                episodes = play(placed, policy, panel, config.seed, ended=partial(_advance, bar))
            found[name] = np.asarray(won(episodes))
    assert deltas.base_fingerprint(model) == bank.base_sha256
    return found


def _advance(bar: Any, episode: Any) -> None:  # noqa: ANN401 - a progress bar is told of an ended episode
    bar.advance()


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
        low, high = wilson(int(won.sum()), len(won))
        row = [name, f"{100 * won.mean():.1f} %", f"{100 * low:.1f} to {100 * high:.1f}"]
        if name != BASE:
            pair = paired(won, wins[BASE])
            row += [findings.in_points(pair.difference), findings.range_of_points(pair.interval), f"{pair.p:.2g}"]
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
