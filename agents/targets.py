"""Targets: which part of a model is trained.

A target is a set of blocks or parts of blocks, or everything. `parse` reads the `layer=` notation without looking at a
model (it needs only the number of blocks), so that a wrong layer is refused before any weights are loaded. Automatic
choices are selectors and belong to `training.selectors`; they end in a target too.

A block owns whatever stands in it: attention, feed-forward layer or experts with their router, norms and biases. Its
part "attention" is the submodule that mixes positions, its part "mlp" the others that hold matrices; norms that stand
beside them are in neither. Embedding, final norm and head belong to no block: they move only under "full" and "boost".
A head that is tied to the embedding is one tensor, under the embedding's name.

"Middle k" of L blocks is floor(L/2 - k/2) to floor(L/2 + k/2) - 1; "best k" and "worst k" rank blocks by a study
(arXiv 2607.01232), which may be of another model with as many blocks.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.errors import InputError, nearest, shortened, unknown
from envs.files import read_json

if TYPE_CHECKING:
    from torch import nn

NAMES = ("middle", "last", "full")
PARTS = ("attention", "mlp")
INSTALL_PEFT = "pip install 'keystone-rl[lora]'"
KINDS = ("boost", "lora")
_RANKED = re.compile(r"(best|worst):(\d{1,6})@(.+)", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """The trained part of a model.

    Attributes:
        indices: the trained blocks in ascending order; all blocks if `full`.
        full: True if every parameter is trained, embedding and head included.
        parts: (block, part) for blocks of which only that part is trained; both parts of a block may stand here.
        boosted: True if everything is trained, and `indices` at a higher rate.
        lora: True if adapters on the linear layers of `indices` are trained instead of their weights.
    """

    indices: tuple[int, ...]
    full: bool = False
    parts: tuple[tuple[int, str], ...] = ()
    boosted: bool = False
    lora: bool = False

    @property
    def name(self) -> str:
        """How the target is written in files, in tables and in `layer=`."""
        if self.full:
            return "full"
        items = []
        for index in self.indices:
            own = [part for block, part in self.parts if block == index]
            items += [f"{index}.{part}" for part in own] or [str(index)]
        kind = "boost:" if self.boosted else "lora:" if self.lora else ""
        return kind + ",".join(items)

    @property
    def everything(self) -> bool:
        """True if every parameter is trained, at whatever rate."""
        return self.full or self.boosted

    @property
    def lowest(self) -> int:
        """Index of the lowest trained block: backward passes stop there."""
        return 0 if self.everything else self.indices[0]


class _Item(NamedTuple):
    """A block or a part of one, as `layer=` names it."""

    block: int
    part: str = ""


def is_peft_installed() -> bool:
    """Whether PEFT is there."""
    return importlib.util.find_spec("peft") is not None


def check_installed(target: Target) -> None:
    """Makes sure that what training a target needs is installed.

    Raises:
        InputError: it is not; names the install line.
    """
    if target.lora and not is_peft_installed():
        raise InputError(f"layer={target.name} needs PEFT, which is not installed: {INSTALL_PEFT}")


def middle(num_blocks: int, count: int = 1) -> tuple[int, ...]:
    """The `count` middle blocks of `num_blocks`."""
    start = math.floor(num_blocks / 2 - count / 2)
    return tuple(range(start, start + count))


def full(num_blocks: int) -> Target:
    """Every parameter of a model."""
    return Target(tuple(range(num_blocks)), full=True)


def parse(layer: str, num_blocks: int, selectors: Sequence[str] = ()) -> Target | None:
    """Reads `layer=`.

    Args:
        layer: "14", "10,14", "10-14", "middle", "middle:5", "last", "best:5@study.json", "worst:5@study.json", "full";
            any of these but "full" with ".mlp" or ".attention" behind a block or range; "boost:10-14", "lora:14"; or a
            selector's name.
        num_blocks: number of blocks L of the model.
        selectors: the names of the selectors that may be asked to choose.

    Returns:
        The target, or None if a selector has to choose it.

    Raises:
        InputError: not a layer, a block the model does not have, or a study that cannot be read.
    """
    text = layer.strip()
    if text.lower() in selectors:
        return None
    if text.lower() == "full":
        return full(num_blocks)
    kind, _, blocks = text.partition(":")
    if kind.lower() in KINDS:
        items = _items(layer, blocks, num_blocks, selectors)
        return _target(layer, items, num_blocks, boosted=kind.lower() == "boost", lora=kind.lower() == "lora")
    return _target(layer, _items(layer, text, num_blocks, selectors), num_blocks)


def _target(
    layer: str, items: Sequence[_Item], num_blocks: int, *, boosted: bool = False, lora: bool = False
) -> Target:
    indices = sorted({item.block for item in items})
    if indices[-1] >= num_blocks:
        nearest = num_blocks - 1
        raise InputError(
            f"layer={layer}: the model has {num_blocks} blocks, numbered 0 to {nearest}. Nearest: layer={nearest}."
        )
    whole = {item.block for item in items if not item.part}
    parts = sorted({(item.block, item.part) for item in items if item.block not in whole})
    return Target(tuple(indices), parts=tuple(parts), boosted=boosted, lora=lora)


def _items(layer: str, text: str, num_blocks: int, selectors: Sequence[str]) -> list[_Item]:
    """The blocks and parts that a text names: a name, or a list of numbers and ranges."""
    lowered = text.strip().lower()
    if lowered == "last":
        return [_Item(num_blocks - 1)]
    if match := re.fullmatch(r"middle(?::(\d{1,6}))?", lowered):
        return [_Item(index) for index in middle(num_blocks, _count(layer, int(match[1] or 1), "middle", num_blocks))]
    if match := _RANKED.fullmatch(text.strip()):
        return [_Item(index) for index in _ranked(layer, match[1].lower(), int(match[2]), Path(match[3]), num_blocks)]
    return [item for part in lowered.split(",") for item in _listed(layer, part, num_blocks, selectors)]


def _listed(layer: str, text: str, num_blocks: int, selectors: Sequence[str]) -> Iterator[_Item]:
    match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?(?:\.([a-z_]+))?\s*", text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        words = (*selectors, *NAMES)
        raise InputError(
            f"layer={shortened(layer)} names no layer.{nearest(text, words)} Allowed: {', '.join(words)}, middle:K, a "
            f"number 0 to {num_blocks - 1}, a list 1,3 or a range 2-4, a part of one ({num_blocks // 2}.mlp, "
            f"{num_blocks // 2}.attention), best:K@study.json, worst:K@study.json, boost:BLOCKS, lora:BLOCKS."
        )
    if match[3] is not None and match[3] not in PARTS:
        raise unknown("part of a block", match[3], PARTS)
    for index in range(int(match[1]), int(match[2] or match[1]) + 1):
        yield _Item(index, match[3] or "")


def _count(layer: str, count: int, name: str, num_blocks: int) -> int:
    if not 1 <= count <= num_blocks:
        raise InputError(f"layer={layer}: the model has {num_blocks} blocks; {name}:1 to {name}:{num_blocks} exist.")
    return count


def block_success(study: Mapping[str, Any]) -> dict[int, float]:
    """The mean success of each block over a study's seeds, on its first panel.

    Args:
        study: the content of `study.json`.

    Raises:
        LookupError, TypeError and the like: it is not one.
    """
    panel = next(iter(study["panels"]))
    return {
        int(name): sum(arm["success"][panel]) / len(arm["success"][panel])
        for name, arm in study["arms"].items()
        if name.isdecimal() and arm["success"].get(panel)
    }


def _lacking(study: Mapping[str, Any], num_blocks: int) -> tuple[list[str], list[int]]:
    """The blocks that a study did not score with every seed that another block has, and those seeds."""
    panel = next(iter(study["panels"]))
    found = {
        name: list(arm["seeds"])
        for name, arm in study["arms"].items()
        if name.isdecimal() and len(arm["success"].get(panel, ())) == len(arm["seeds"])
    }
    seeds = sorted(set().union(*found.values())) or list(study["seeds"])
    names = map(str, range(num_blocks))
    return [name for name in names if found.get(name) != seeds], seeds


def _ranked(layer: str, which: str, count: int, path: Path, num_blocks: int) -> tuple[int, ...]:
    """The blocks with the highest or lowest mean success in a finished study of as many blocks."""
    try:
        study = read_json(path, "study")
    except InputError as error:
        raise InputError(f"layer={layer}: {error}") from None
    try:
        studied, success, (lacking, seeds) = int(study["blocks"]), block_success(study), _lacking(study, num_blocks)
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError):
        raise InputError(f"layer={layer}: {path} is not a study.json of training.sweep.") from None
    if studied != num_blocks:
        raise InputError(f"layer={layer}: {path} studied a model of {studied} blocks, this one has {num_blocks}.")
    if lacking:
        blocks, given = shortened(",".join(lacking), 500), shortened(",".join(map(str, seeds)))
        raise InputError(
            f"layer={layer}: {path} is unfinished, and ranks nothing yet: block {blocks} lacks some of the seeds "
            f"{given}. It goes on with python -m training.sweep config={path.parent}/config.yaml out={path.parent} "
            f"layers={blocks} seeds={given} full=false, and the data= and rates= that it began with."
        )
    _count(layer, count, which, num_blocks)
    sign = -1 if which == "best" else 1
    return tuple(sorted(sorted(success, key=lambda index: (sign * success[index], index))[:count]))


def prefixes(model: nn.Module, target: Target) -> tuple[str, ...]:
    """What the names of the parameters of a target's blocks and parts begin with.

    Raises:
        InputError: the model's blocks have no such part, or one of another kind than the lowest block's.
    """
    from agents.blocks import find_stack, parts_of

    stack = find_stack(model)
    names = parts_of(model, stack) if target.parts else {}
    found: list[str] = []
    for index in target.indices:
        own = [(part, child) for block, part in target.parts if block == index for child in names[part]]
        for part, child in own:
            if not hasattr(stack.modules[index], child):
                raise InputError(
                    f"layer={target.name}: block {index} of {type(model).__name__} has no {child!r}, the lowest one's "
                    f"{part}; train the whole block."
                )
        found += [f"{stack.prefix(index)}{child}." for _, child in own] or [stack.prefix(index)]
    return tuple(found)


def parameters(model: nn.Module, target: Target) -> dict[str, nn.Parameter]:
    """The target's parameters by name, in the model's order: for LoRA those that its adapters change once merged."""
    if target.everything:
        return dict(model.named_parameters())
    chosen = prefixes(model, target)
    return {name: parameter for name, parameter in model.named_parameters() if name.startswith(chosen)}


def select(model: nn.Module, target: Target) -> dict[str, nn.Parameter]:
    """Makes the target's parameters, and no others, require gradients; returns them by name."""
    model.requires_grad_(False)
    chosen = parameters(model, target)
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen
