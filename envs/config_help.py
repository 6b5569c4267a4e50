"""The text of `--help`: every key with its default, unit and meaning, for a terminal of 100 columns."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from envs import presets
from envs.config import resolve
from envs.config_schema import Key, groups_of

_WIDTH = 100
_LEFT = 34


def help_text(program: str, schema: type[Any], argv: Sequence[str], description: str) -> str:
    """Writes the help of a command.

    Args:
        program: how the command is called, for example "python -m training.run".
        schema: its configuration class.
        argv: its arguments without `--help`; presets chosen there decide which options are listed, and with which
            values.
        description: what the command does.

    Raises:
        InputError: the arguments are not valid.
    """
    config, keys = resolve(schema, argv)
    groups = groups_of(schema)
    values = OmegaConf.structured(config)
    sections: dict[str, list[str]] = {"": []}
    for key in keys:
        section, _, name = key.path.rpartition(".")
        if section not in groups or name != "name":
            sections.setdefault(section, []).append(_key_row(key, OmegaConf.select(values, key.path)))
    for short, path in getattr(schema, "aliases", {}).items():
        if path in {key.path for key in keys}:
            sections[""].append(_row(f"{short}=", f"short for {path}="))
    sections[""].append(_row("config=FILE", "start from a saved configuration, for example RUN/config.yaml"))
    parts = [f"usage: {program} [key=value ...]", textwrap.fill(description.strip(), _WIDTH)]
    if groups:
        rows = _preset_rows(schema, config)
        parts.append("\n".join(["Presets (applied before all keys, wherever they are typed):", *rows]))
    for section, rows in sections.items():
        title = f"{section} ({getattr(config, section).name})" if section in groups else section or "General"
        if rows:
            parts.append("\n".join([f"{title}:", *rows]))
    return "\n\n".join(parts)


def _preset_rows(schema: type[Any], config: Any) -> list[str]:  # noqa: ANN401 - any configuration dataclass
    meanings = {field.name: field.metadata.get("help", "") for field in dataclasses.fields(schema)}
    rows = []
    for name, group in groups_of(schema).items():
        names = ", ".join(sorted({*presets.names(name), *group.names()}))
        rows.append(_row(f"{name}={getattr(config, name).name}", f"{meanings[name]}. Names: {names}. {group.hint}"))
    return rows


def _key_row(key: Key, value: Any) -> str:  # noqa: ANN401 - a value of any key's type
    text = key.help
    if key.unit:
        text += f" [{key.unit}]"
    if key.choices:
        text += f" ({' | '.join(str(choice) for choice in key.choices if choice != '')})"
    return _row(f"{key.path}={_shown(value)}", text)


def _shown(value: Any) -> str:  # noqa: ANN401
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(_shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(left: str, right: str) -> str:
    """Sets two columns; a left side that is too long gets a line of its own."""
    lines = textwrap.wrap(right.strip(), _WIDTH - _LEFT - 2) or [""]
    first = f"  {left:<{_LEFT - 2}}  {lines[0]}" if len(left) <= _LEFT - 2 else f"  {left}\n{'':{_LEFT + 2}}{lines[0]}"
    return "\n".join([first.rstrip(), *(f"{'':{_LEFT + 2}}{line}" for line in lines[1:])])
