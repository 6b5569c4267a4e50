"""The card beside a delta file, for people: its base, what it changes, what it was made of and how it is used.

A run replaces it with a card that has scores and commands (`training.card`); nothing is said here that was not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from agents.deltas import Card

KEPT_OF_PARTS = ("model", "env", "algorithm", "seed")
"""What a composition keeps of its parts' details."""


def card_path(path: Path) -> Path:
    """Where the card of a delta file lies."""
    return path.with_suffix(".md") if path.suffix == ".safetensors" else path.with_name(f"{path.name}.md")


def markdown(path: Path, tensors: Mapping[str, torch.Tensor], card: Card) -> str:
    """Writes the card.

    Args:
        path: the delta's file.
        tensors: its tensors by parameter name.
        card: what it says about itself; parts of a composition stand under "parts" in its details.

    Returns:
        Markdown.
    """
    details = dict(card.details)
    parts = details.pop("parts") if isinstance(details.get("parts"), list) else []
    parts = [part for part in parts if isinstance(part, Mapping)]
    named = {part.get("model", "") for part in parts} if parts else {details.get("model", "")}
    base = named.pop() if len(named) == 1 else ""
    count = sum(value.numel() for value in tensors.values())
    types = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()}))
    lines = [
        f"# Delta of layer {card.target}",
        "",
        f"- **base**: {f'`{base}`, ' if base else ''}weights sha256 `{card.base_sha256}`",
        f"- **delta**: `{path.name}`, tensors sha256 `{card.tensors_sha256}`",
        f"- **changes**: {len(tensors)} tensors, {count:,} parameters, {types}",
        *(f"- **{name}**: {_told(value)}" for name, value in details.items()),
    ]
    if parts:
        lines += ["", "Composed of:", "", *(f"- layer {part.get('target')}: {_told(part)}" for part in parts)]
    lines += [
        "",
        "No scores come with this file. Scored, and checked against its base, by:",
        "",
        f"    python -m evals.run policy={base or 'BASE'} delta={path.name}",
        "",
    ]
    return "\n".join(lines)


def _told(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {value[name]}" for name in value if name != "target")
    return str(value)
