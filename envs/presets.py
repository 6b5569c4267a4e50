"""Presets: YAML files `configs/<group>/<name>.yaml` that set configuration keys by their full names.

A preset says only what differs from the defaults in the configuration's dataclasses. `env=alfworld` on a command line
reads `configs/env/alfworld.yaml`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from envs.errors import InputError, shortened, unknown
from envs.files import read_text
from envs.installation import REPOSITORY

FOLDER = REPOSITORY / "configs"
MOST_BYTES = 1 << 20
"""The largest configuration file that is read."""


def names(group: str) -> list[str]:
    """Lists the presets of a group, sorted."""
    return sorted(file.stem for file in (FOLDER / group).glob("*.yaml"))


def read(group: str, name: str) -> dict[str, Any]:
    """Reads one preset.

    Args:
        group: the group's name, a folder of `configs/`.
        name: the preset's name.

    Returns:
        The keys it sets, nested.

    Raises:
        InputError: there is no such preset, or its file is not a YAML mapping.
    """
    if name not in names(group):
        raise unknown(group, name, names(group))
    return read_yaml(FOLDER / group / f"{name}.yaml")


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping.

    Raises:
        InputError: the file is missing, is not YAML, or holds something else.
    """
    text = read_text(path, "configuration file", MOST_BYTES)
    try:
        # A file of a few lines that names itself over and over would be gigabytes.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise InputError(f"the configuration file {str(path)!r} has an alias (*name); write its value out.")
        content = yaml.safe_load(text)
        # Halves of surrogate pairs, which "\ud800" gives, could be written nowhere.
        json.dumps(content, ensure_ascii=False, default=str).encode("utf-8")
    except yaml.YAMLError as error:
        where = shortened(" ".join(str(error).split()), 300)
        raise InputError(f"the configuration file {str(path)!r} is not valid YAML: {where}") from None
    except (RecursionError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        said = shortened(str(error))
        raise InputError(f"the configuration file {str(path)!r} holds what cannot be read ({said}).") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"the configuration file {str(path)!r} must hold `key: value` lines.")
    return content
