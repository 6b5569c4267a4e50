"""`python -m evals.delta delta=RUN/delta.safetensors`: what a delta file holds, and other forms of it.

make=show      prints its card and checksum; with base= also verifies it and says how far each tensor moved
make=diff      compares two deltas, delta=A,B, tensor by tensor
make=compose   writes deltas of different blocks as one, out=FILE, and its card beside it
make=merged    writes base and delta as an ordinary model folder, out=DIR
make=lora      writes the best LoRA adapter of rank= for PEFT, out=DIR, and says what it loses
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agents import deltas
from agents.delta_card import card_path
from agents.models import locate_model
from agents.targets import INSTALL_PEFT, is_peft_installed
from envs import presets
from envs.command import run_command
from envs.config_schema import key, listed
from envs.errors import InputError
from envs.files import check_empty

if TYPE_CHECKING:
    import torch

    from agents.deltas import Card, Change

Part = tuple[Path, Mapping[str, "torch.Tensor"], "Card"]


@dataclass(frozen=True)
class DeltaConfig:
    """Keys of `evals.delta`."""

    delta: str = key("", "the delta file, or several separated by commas")
    make: Literal["show", "diff", "compose", "merged", "lora"] = key("show", "what to do with it")
    base: str = key("", "the model that the delta was made for: a preset's name, a folder or a hub id")
    rank: int = key(8, "of the LoRA adapter", minimum=1)
    out: str = key("", "where the result goes")


def main(config: DeltaConfig) -> int:
    """Runs the command."""
    paths = [Path(part) for part in listed(config.delta)]
    if not paths:
        raise InputError("delta= is needed: the file that a run wrote, for example RUN/delta.safetensors.")
    wanted = {"show": 1, "merged": 1, "lora": 1, "diff": 2}.get(config.make)
    if wanted is not None and len(paths) != wanted:
        raise InputError(f"make={config.make} takes {wanted} delta{'s' if wanted > 1 else ''}, got {len(paths)}.")
    for path in paths:
        deltas.check_file(path)
    _check(config)
    parts: list[Part] = [(path, *deltas.load(path)) for path in paths]
    makers = {"show": _show, "diff": _diff, "compose": _compose, "merged": _merged, "lora": _lora}
    for line in makers[config.make](config, parts):
        print(line)
    return 0


def _check(config: DeltaConfig) -> None:
    """Finds what is wrong with the keys before anything slow is imported or read."""
    if config.make in ("merged", "lora", "compose") and not config.out:
        raise InputError(f"make={config.make} needs out=.")
    if config.make in ("merged", "lora"):
        if not config.base:
            raise InputError(f"make={config.make} needs base=, the model that the delta was made for.")
        check_empty(Path(config.out))
    if config.make == "lora" and not is_peft_installed():
        raise InputError(f"make=lora needs PEFT, which is not installed: {INSTALL_PEFT}")
    if config.make == "compose":
        for path in (Path(config.out), card_path(Path(config.out))):
            if path.exists():
                raise InputError(f"out={config.out}: {path} exists; choose another file.")
    if config.base:
        base_path(config.base)


def card_lines(path: Path, tensors: Mapping[str, torch.Tensor], card: Card) -> list[str]:
    """What a delta says about itself."""
    count = sum(value.numel() for value in tensors.values())
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    lines = [
        f"{path}: layer {card.target}, {len(tensors)} tensors, {count:,} parameters, {size / 1e6:.2f} MB",
        f"for base {card.base_sha256}",
        f"tensors  {card.tensors_sha256} (checked)",
    ]
    return lines + [_detail(name, value) for name, value in card.details.items()]


def _detail(name: str, value: object) -> str:
    """One of the facts that a delta keeps; settings as they are typed, and folded."""
    if not isinstance(value, Mapping):
        return f"{name}: {value}"
    words = " ".join(f"{key}={value[key]}" for key in value)
    return textwrap.fill(f"{name}: {words}", 100, subsequent_indent="  ", break_long_words=False)


def change_lines(changes: Sequence[Change]) -> list[str]:
    """How far tensors moved, one a line."""
    return [
        f"  {change.name}: {change.changed:,} of {change.numel:,} values differ, largest {change.largest:.3g}, "
        f"{100 * change.relative:.3g} % of the norm"
        for change in changes
    ]


def load_base(config: DeltaConfig) -> tuple[Any, Any]:
    """Loads the base model and its tokenizer, in the type of its weights.

    Raises:
        InputError: it cannot be loaded.
    """
    from agents.models import announce_download, choose_dtype, quiet
    from agents.policies.transformers import load

    quiet()
    path = base_path(config.base)
    announce_download(path)
    return load(path, "cpu", choose_dtype("auto", path))


def base_path(base: str) -> str:
    """The folder or hub id of a base, which may be a preset's name."""
    if base in presets.names("model"):
        return locate_model(str(presets.read("model", base)["model"]["path"]), "base")
    return locate_model(base, "base")


def _show(config: DeltaConfig, parts: Sequence[Part]) -> list[str]:
    ((path, tensors, card),) = parts
    lines = card_lines(path, tensors, card)
    if config.base:
        model, _ = load_base(config)
        deltas.verify(model, tensors, card)
        own = dict(model.named_parameters())
        lines += ["belongs to this base; changes:", *change_lines(deltas.diff(tensors, own))]
    return lines


def _diff(config: DeltaConfig, parts: Sequence[Part]) -> list[str]:
    (one, first, _), (other, second, _) = parts
    lines = [f"{one} against {other}:", *change_lines(deltas.diff(first, second))]
    for path, own, rest in ((one, first, second), (other, second, first)):
        alone = sorted(own.keys() - rest.keys())
        if alone:
            lines.append(f"  only in {path}: {len(alone)} tensors, for example {alone[0]}")
    return lines


def _compose(config: DeltaConfig, parts: Sequence[Part]) -> list[str]:
    tensors, card = deltas.compose([(own, its) for _, own, its in parts])
    out = Path(config.out)
    deltas.save(out, tensors, base_sha256=card.base_sha256, target=card.target, details=card.details)
    return [f"{out}: layers {card.target}, {len(tensors)} tensors, sha256 {card.tensors_sha256[:12]}"]


def _merged(config: DeltaConfig, parts: Sequence[Part]) -> list[str]:
    from agents.exports import save_merged

    ((_, tensors, card),) = parts
    model, tokenizer = load_base(config)
    deltas.verify(model, tensors, card)
    save_merged(model, tokenizer, tensors, Path(config.out))
    return [f"{config.out}: the base with layer {card.target} trained, an ordinary model folder"]


def _lora(config: DeltaConfig, parts: Sequence[Part]) -> list[str]:
    from agents.exports import save_lora

    ((_, tensors, card),) = parts
    model, _ = load_base(config)
    deltas.verify(model, tensors, card)
    lost = save_lora(model, tensors, config.rank, Path(config.out), base_path(config.base))
    lines = [
        f"{config.out}: a LoRA adapter of rank {lost.rank} for PEFT",
        f"it loses {100 * lost.relative:.1f} % of the change's norm",
    ]
    if lost.left_out:
        lines.append(
            f"of that, {len(lost.left_out)} changed tensors that no adapter holds are "
            f"{100 * lost.left_out_share**0.5:.1f} % (for example {lost.left_out[0]})"
        )
    return lines


if __name__ == "__main__":
    sys.exit(
        run_command("python -m evals.delta", DeltaConfig, main, description="Shows, compares and converts delta files.")
    )
