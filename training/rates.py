"""Learning rates by target: what a search by `training.tune` found best for each.

The first, the middle and the last block, everything and LoRA each want their own rate; blocks between take the middle
one's. `evals/results/rates/` keeps the searches made for the shipped policies. A study takes the one made for its
world, policy, algorithm and training where nobody says otherwise; a single run is told where its rate is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

import evals
from agents.starts import WARM
from agents.targets import middle
from envs.config import load
from envs.errors import InputError
from envs.files import understood
from evals.studies import BASE, FULL
from training.config import RunConfig
from training.folder import CONFIG, RunFolder
from training.tune import CELLS, TuneConfig, best_first, by_rate

KEPT = "kept"
FOLDER = Path(evals.__path__[0]) / "results" / "rates"


def best_of(search: Path, num_blocks: int) -> dict[str, float]:
    """The best rate of each target that a search looked at, blocks by their numbers.

    Raises:
        InputError: the folder holds no search.
    """
    if not (search / CELLS).is_file():
        raise InputError(f"rates={search}: there is no search, which training.tune out={search} would write.")
    with understood(search / CELLS, "a search of learning rates"):
        best = {name: best_first(found)[0] for name, found in by_rate(RunFolder(search).rows(CELLS)).items()}
    numbers = {"middle": str(middle(num_blocks)[0]), "last": str(num_blocks - 1)}
    split = {target: target.rpartition(":") for target in best}
    return {kind + colon + numbers.get(where, where): best[target] for target, (kind, colon, where) in split.items()}


def kept_search(config: RunConfig) -> Path | None:
    """The search that was kept for a world, policy, algorithm and training; None where there is none.

    Also None where the configuration's rates are not those of its presets: they were given then.
    """
    for path in sorted(FOLDER.glob(f"*/{CONFIG}")):
        search = load(TuneConfig, [f"config={path}"])
        if _compared(search) == _compared(config):
            words = [f"{key}={getattr(config, key).name}" for key in ("env", "model", "algorithm")]
            preset, given = load(RunConfig, words).train, config.train
            same = (preset.learning_rate, preset.full_learning_rate) == (given.learning_rate, given.full_learning_rate)
            return path.parent if same else None
    return None


def _compared(config: RunConfig) -> tuple[object, ...]:
    """What a rate depends on; a study's own copy of a policy made on demand is that policy."""
    train = replace(config.train, learning_rate=0.0, full_learning_rate=0.0)
    speed = ("micro_batch_tokens", "checkpointing", "prefix_megabytes", "prefix_host_megabytes")
    values = tuple(getattr(train, field.name) for field in fields(train) if field.name not in speed)
    path = WARM if config.model.name == WARM else config.model.path
    return (config.env.name, config.model.name, path, config.algorithm.name, config.iterations, values)


def rates_of(config: RunConfig, search: Path | None, num_blocks: int, full: bool) -> Callable[[str], float]:
    """Returns what gives an arm's learning rate.

    Args:
        config: the configuration, whose `train` has the rates where there is no search.
        search: the folder of a search, or None.
        num_blocks: of the model.
        full: whether everything will be trained.

    Raises:
        InputError: the folder holds no search, or none for the middle block or everything.
    """
    train = config.train
    if search is None:
        return lambda arm: train.full_learning_rate if arm == FULL else 0.0 if arm == BASE else train.learning_rate
    best, center = best_of(search, num_blocks), str(middle(num_blocks)[0])
    missing = [name for name in (center, *([FULL] if full else [])) if name not in best]
    if missing:
        raise InputError(f"rates={search} holds no search for {missing[0]}. Search with training.tune targets=...")
    lora = next((rate for target, rate in best.items() if target.startswith("lora:")), best[center])

    def rate(arm: str) -> float:
        return 0.0 if arm == BASE else best.get(arm, lora if arm.startswith("lora:") else best[center])

    return rate


def told(rates: Mapping[str, float], search: Path | None) -> str:
    """Says in a line which learning rates a study's arms have.

    Args:
        rates: by arm.
        search: where they are from, or None.
    """
    arms: dict[float, list[str]] = {}
    for arm, rate in rates.items():
        if arm != BASE:
            arms.setdefault(rate, []).append(arm)
    listed = ", ".join(f"{rate:g} for {' '.join(names)}" for rate, names in arms.items())
    if search is not None:
        return f"learning rates: {listed} (found by the search in {_shown(search)})"
    return (
        f"learning rates: {listed}. No search for them was given, and a block may need another rate than the middle "
        "one: training.tune targets=0,middle,last,full,lora:middle searches, and rates=FOLDER takes what it found."
    )


def advice(config: RunConfig, target: str, num_blocks: int) -> str:
    """Says where the kept search found another rate than a run's to be best for what it trains; else nothing."""
    if (search := kept_search(config)) is None:
        return ""
    best = best_of(search, num_blocks).get(target)
    ours = config.train.full_learning_rate if target == FULL else config.train.learning_rate
    if best is None or best == ours:
        return ""
    key = "train.full_learning_rate" if target == FULL else "train.learning_rate"
    what = "everything" if target == FULL else f"layer={target}"
    found = f"the search in {_shown(search)} found {best:g} best for it"
    return f"note: {what} is trained at {ours:g}; {found} ({key}={best:g})"


def _shown(path: Path) -> Path:
    """A path as short as it can be written from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
