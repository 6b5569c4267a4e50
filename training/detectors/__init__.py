"""Detectors: each file here knows one way in which training goes wrong, and says in words when it does.

The file name is what progress lines and reports call it. A detector module has

    AT = "update" or "iteration"     what it looks at
    DAMAGES: bool                    whether the weights may have been harmed, so that going back to older ones helps
    wrong(seen, config) -> str       what is wrong, in words; empty if nothing is

and may have `patience(config) -> int`: iterations in a row until what it sees counts, 1 by default, 0 for never. One at
"update" gets an `Update` before the optimizer's step, which is then not made; one at "iteration" gets an `Iteration`
when that is over. What is done about it is `training.watch`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from agents.types import Episode
from envs.config_schema import key


@dataclass(frozen=True)
class WatchConfig:
    """What counts as going wrong, and what is done about it."""

    limit: int = key(
        5, "iterations in a row with something wrong after which the run stops; 0 goes on", unit="iterations", minimum=0
    )
    roll_back: bool = key(
        False, "whether weights that may be harmed give way to those of the last checkpoint in which nothing was wrong"
    )
    kl: float = key(
        1.0,
        "skip updates whose policy is further than this from the one that sampled; 0 does not look",
        unit="nats a token",
        minimum=0,
    )
    reference_kl: float = key(
        20.0,
        "skip updates further than this from the starting policy, where train.beta is not 0; 0 does not look",
        unit="nats a token",
        minimum=0,
    )
    ratio: float = key(
        1000.0, "skip updates in which a token became this many times as likely as it was; 0 does not look", minimum=0
    )
    entropy: float = key(
        1e-4, "a mean entropy below this is a collapse; 0 does not look", unit="nats a token", minimum=0
    )
    signal: int = key(
        20,
        "iterations in a row without a learning signal that are too many; 0 does not look",
        minimum=0,
        unit="iterations",
    )
    identical: float = key(
        1.0,
        "share of the groups that said the same in all episodes, and not all won, from which on that is wrong;"
        " 0 does not look",
        minimum=0,
        maximum=1,
    )
    mismatch: float = key(
        0.5,
        "divergence of sampler and trainer that is no rounding any more, where they differ; 0 does not look",
        unit="nats a token",
        minimum=0,
    )
    broken: float = key(
        0.5,
        "share of the episodes broken by their world or its verifier from which on that is wrong; 0 does not look",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Update:
    """An update before the optimizer's step, over the rows of all processes.

    Attributes:
        loss: its loss.
        grad_norm: norm of its gradient before clipping.
        kl: mean k3 estimate of the divergence from the policy that sampled, in nats a token.
        reference_kl: the same from the starting policy; 0 without `beta`.
        ratio: largest probability ratio of a token; 0 without tokens.
    """

    loss: float
    grad_norm: float
    kl: float
    reference_kl: float
    ratio: float


@dataclass(frozen=True)
class Iteration:
    """An iteration that is over.

    Attributes:
        metrics: as in `metrics.jsonl`; what updates report is missing if all were skipped.
        episodes: what was played.
    """

    metrics: Mapping[str, float]
    episodes: Sequence[Episode]


@dataclass(frozen=True)
class Detector:
    """A detector module.

    Attributes:
        name: its name.
        at: what it looks at.
        damages: whether the weights may have been harmed.
        wrong: says what is wrong.
        patience: iterations in a row until that counts.
    """

    name: str
    at: Literal["update", "iteration"]
    damages: bool
    wrong: Callable[[Any, WatchConfig], str]
    patience: Callable[[WatchConfig], int]


def names() -> list[str]:
    """All detectors, by file name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Detector:
    """A detector by name."""
    module: ModuleType = importlib.import_module(f"{__name__}.{name}")
    return Detector(name, module.AT, module.DAMAGES, module.wrong, getattr(module, "patience", _at_once))


def _at_once(config: WatchConfig) -> int:
    return 1
