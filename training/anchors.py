"""`python -m training.anchors env=alfworld`: what the choice of anchor changes in GiGPO's advantages.

GiGPO compares the turns of a group at the same anchor (arXiv 2505.10978, section 3). By default the anchor is
the observation's text, as published; `anchor=state` takes the world's true state, which tells apart what merely reads
the same ("Nothing happens."). The command plays the same episodes with both, training nothing: as every draw is keyed
and the policy never sees the anchor, they are the same turn by turn. It prints how large the anchor groups are, how
many turns get a step advantage, how widely the advantages spread, and how many text groups mix several states.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.pool import Pool, place
from envs.registry import env_class, make, options_of
from training import advantages
from training.config import RunConfig

if TYPE_CHECKING:
    from rich.table import Table

KINDS = ("text", "state")
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class AnchorsConfig(RunConfig):
    """Keys of the study, beside those of the main job, of which only env, model, algorithm, seed and train matter."""

    batches: int = key(4, "rollouts to look at, each of train.groups tasks with train.group_size episodes", minimum=1)


class Figures(NamedTuple):
    """What one kind of anchor gives on a set of episodes.

    Attributes:
        groups: anchor groups.
        mean_size: turns a group.
        alone: share of the turns that are the only one of their group; their step advantage is zero.
        compared: share of the turns whose step advantage is not zero.
        step_variance: variance of the step advantage over all turns.
        variance: variance of the whole advantage over all turns.
    """

    groups: int
    mean_size: float
    alone: float
    compared: float
    step_variance: float
    variance: float


def figures(columns: Columns, algorithm: Any) -> Figures:  # noqa: ANN401 - each estimator has its own options
    """Measures the anchor groups and GiGPO's advantages of some turns.

    Args:
        columns: the flat columns of `training.advantages`, one entry a turn, (N,).
        algorithm: the options of GiGPO.

    Returns:
        The figures.
    """
    estimator = advantages.find("gigpo")
    whole = estimator.advantages(columns, algorithm)
    step = whole - estimator.advantages(columns, replace(algorithm, step_weight=0.0))
    sizes = Counter(zip(columns["group"], columns["anchor"], strict=True))
    turns = len(whole)
    alone = sum(size == 1 for size in sizes.values())
    # A difference of two sums of floats: what is zero in exact arithmetic may be off by rounding.
    compared = float(np.mean(np.abs(step) > 1e-9))
    return Figures(len(sizes), turns / len(sizes), alone / turns, compared, float(step.var()), float(whole.var()))


def mixed(text: Columns, state: Columns) -> tuple[float, float]:
    """How many text groups hold several states: their share of the text groups, and of the turns."""
    states: dict[Any, set[Any]] = {}
    pairs = list(zip(text["group"], text["anchor"], strict=True))
    for pair, anchor in zip(pairs, state["anchor"], strict=True):
        states.setdefault(pair, set()).add(anchor)
    several = {pair for pair, found in states.items() if len(found) > 1}
    return len(several) / len(states), sum(pair in several for pair in pairs) / len(pairs)


def main(config: AnchorsConfig) -> int:
    """Runs the command."""
    if "anchor" not in options_of(config.env):
        raise InputError(f"env={config.env.name} has no option 'anchor': there is nothing to compare.")
    if config.algorithm.name != "gigpo":
        raise InputError(f"algorithm={config.algorithm.name} does not use anchors; the study is for algorithm=gigpo.")
    from rich.console import Console

    columns = {kind: _columns(config, kind) for kind in KINDS}
    episodes = config.batches * config.train.groups * config.train.group_size
    if any(list(columns["text"][name]) != list(columns["state"][name]) for name in ("group", "episode", "reward")):
        raise InputError(f"env={config.env.name} does not play the same with both anchors; its draws are not keyed.")
    found = {kind: figures(columns[kind], _options(config)) for kind in KINDS}
    title = f"{config.env.name}, {config.model.name}: {len(columns['text']['reward']):,} turns of {episodes} episodes"
    Console().print(table(title, found))
    groups, turns = mixed(columns["text"], columns["state"])
    print(f"{groups:.1%} of the text groups, with {turns:.1%} of the turns, hold several states.")
    return 0


def table(title: str, found: Mapping[str, Figures]) -> Table:
    """The figures side by side."""
    from rich.table import Table

    shown = Table("", *(f"anchor={kind}" for kind in found), title=title, title_justify="left")
    labels = {
        "groups": ("anchor groups", "{:,}"),
        "mean_size": ("turns a group, mean", "{:.2f}"),
        "alone": ("turns alone in their group", "{:.1%}"),
        "compared": ("turns with a step advantage", "{:.1%}"),
        "step_variance": ("variance of the step advantage", "{:.3f}"),
        "variance": ("variance of the whole advantage", "{:.3f}"),
    }
    for name, (label, form) in labels.items():
        shown.add_row(label, *(form.format(getattr(value, name)) for value in found.values()))
    return shown


def _options(config: AnchorsConfig) -> Any:  # noqa: ANN401
    """GiGPO's own options, without the name that the command line adds."""
    wanted = advantages.find("gigpo").Config
    return wanted(**{field.name: getattr(config.algorithm, field.name) for field in dataclasses.fields(wanted)})


def _columns(config: AnchorsConfig, kind: str) -> Columns:
    from agents.models import choose_device, choose_dtype, quiet
    from agents.policies.transformers import Sampling, TransformersPolicy, load
    from agents.prompts import manner_of
    from agents.rollout import rollout
    from agents.starts import locate
    from envs.screen import Screen
    from training.collect import Estimator
    from training.tasks import iteration_keys

    quiet()
    path = locate(config.model.path, config.env)
    model, tokenizer = load(path, choose_device(config.device), choose_dtype(config.model.dtype, path))
    sampling = Sampling(config.train.temperature, config.model.max_reply_tokens)
    manner = manner_of(env_class(config.env.name), config.model.context, thinking=config.model.thinking)
    policy = TransformersPolicy(model, tokenizer, sampling, name="anchors", manner=manner)
    options = options_of(replace(config.env, anchor=kind))
    env = make(config.env.name, **options)
    keys = [
        key
        for batch in range(config.batches)
        for key in iteration_keys(env, config.seed, batch, config.train.groups, config.train.group_size)
    ]
    screen = Screen(None)
    with Pool(config.pool, screen.print) as pool, screen.bar(f"episodes with anchor={kind}", len(keys)) as bar:
        made = place(config.env.name, options, pool)
        episodes: Sequence[Any] = rollout(made, policy, keys, ended=lambda episode: bar.advance())
    train = config.train
    estimator = Estimator(advantages.find("gigpo"), _options(config), train.success_reward, train.invalid_penalty)
    return estimator.columns([episode for episode in episodes if episode.turns])


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m training.anchors", AnchorsConfig, main, description="Compares text and state as GiGPO's anchor."
        )
    )
