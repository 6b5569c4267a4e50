"""Presets: YAML files `configs/<group>/<name>.yaml` that set configuration keys by their full names.

A preset says only what differs from the defaults in the configuration's dataclasses. `env=alfworld` on a command line
reads `configs/env/alfworld.yaml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from envs.errors import InputError, unknown
from envs.installation import REPOSITORY

FOLDER = REPOSITORY / "configs"


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
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the configuration file {str(path)!r}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(f"the configuration file {str(path)!r} is not UTF-8 text.") from None
    except yaml.YAMLError as error:
        where = str(error).replace("\n", " ")
        raise InputError(f"the configuration file {str(path)!r} is not valid YAML: {where}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"the configuration file {str(path)!r} must hold `key: value` lines.")
    return content
