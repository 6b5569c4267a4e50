"""Layer selectors: each file here chooses the block to train.

The file name is the name on the command line. A selector module has one function,

    select(probe: Probe) -> Choice

which gets a `Probe` (the starting model, the shared batch of real episodes as training rows, the seed) and returns a
`Choice` with a score for every block and why. It must leave the model's weights as it found them and never reads the
panel. What takes long goes through `probe.memo`, so that an interrupted selection goes on where it was; what a block's
score cost is told to `probe.learned`. One that may spend the whole `budget=` on `probe.race` says so: `RACES = True`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envs.errors import unknown

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from training.batches import TrainingRow


Groups = Sequence[Sequence[Sequence["TrainingRow"]]]
"""Of each group its episodes, of each episode its rows: all turns in one, or with a window one each."""


def rows_of(group: Sequence[Sequence[TrainingRow]]) -> list[TrainingRow]:
    """The rows of several episodes."""
    return [row for episode in group for row in episode]


def _compute(_name: str, compute: Callable[[], list[float]]) -> list[float]:
    return compute()


@dataclass
class Probe:
    """What a selector may look at.

    Attributes:
        model: the starting policy's model.
        num_blocks: its number of blocks L.
        groups: plays and returns the shared batch, of each group its episodes, of those their rows; called only by
            selectors that need episodes.
        device: where the model is.
        temperature: sampling temperature of the episodes.
        micro_batch_tokens: padded tokens a micro-batch may hold.
        seed: the run's seed.
        learning_rate: what a block would be trained with.
        iterations: how many iterations a block would be trained for; 0 if that is not known.
        budget: what the choice may cost, as a share of training every block once.
        memo: returns the values kept under a name, or computes and keeps them.
        race: trains a block alone for so many iterations from the start (or on from where it stopped) and returns,
            [iterations, tasks], the share of each task's episodes that was won; the first iteration plays the
            untrained policy. All blocks meet the same tasks with the same draws. None where nothing can be trained.
        sweep_episodes: episodes that training every block once plays; 0 if that is not known.
        shared_episodes: episodes of the shared batch, known before it is played; 0 if that is not known.
        learned_episodes: episodes learned from so far for each block's score; under None for all of them together.
    """

    model: PreTrainedModel
    num_blocks: int
    groups: Callable[[], Groups]
    device: torch.device
    temperature: float
    micro_batch_tokens: int
    seed: int
    learning_rate: float = 1e-3
    iterations: int = 0
    budget: float = 0.15
    memo: Callable[[str, Callable[[], list[float]]], list[float]] = _compute
    race: Callable[[int, int], Sequence[Sequence[float]]] | None = None
    sweep_episodes: int = 0
    shared_episodes: int = 0
    learned_episodes: Counter[int | None] = field(default_factory=Counter)

    def learned(self, block: int | None, episodes: int) -> None:
        """Notes that so many episodes were learned from to score a block, or all at once (None)."""
        self.learned_episodes[block] += episodes


@dataclass(frozen=True)
class BlockScore:
    """One block's score.

    Attributes:
        index: the block.
        score: higher is better; None if the selector does not score.
        details: numbers behind the score.
    """

    index: int
    score: float | None
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """A selector's answer.

    Attributes:
        selector: its name.
        indices: the chosen blocks, ascending.
        why: one or two sentences.
        blocks: every block's score, lowest block first.
        tied: the blocks that could not be told apart from the best, itself among them; empty if nobody asked.
    """

    selector: str
    indices: tuple[int, ...]
    why: str
    blocks: tuple[BlockScore, ...]
    tied: tuple[int, ...] = ()

    def as_json(self, cost: dict[str, Any]) -> dict[str, Any]:
        """The content of `layers.json`."""
        blocks = [{"index": block.index, "score": block.score, "details": block.details} for block in self.blocks]
        return {
            "selector": self.selector,
            "target": ",".join(map(str, self.indices)),
            "chosen": list(self.indices),
            "why": self.why,
            "blocks": blocks,
            "cost": cost,
        }


def names() -> list[str]:
    """All selectors, by file name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Callable[[Probe], Choice]:
    """The `select` function of a selector.

    Raises:
        InputError: no such selector.
    """
    if name not in names():
        raise unknown("selector", name, names())
    select: Callable[[Probe], Choice] = importlib.import_module(f"{__name__}.{name}").select
    return select


def races(name: str) -> bool:
    """Whether a selector may spend the whole budget on real training."""
    return bool(getattr(importlib.import_module(f"{__name__}.{name}"), "RACES", False))
