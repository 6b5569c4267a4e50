"""Starting policies made on demand: where the small policy of a world is kept.

`model=warm` stands for a policy that `python -m training.warmstart env=NAME` clones from the world's own player. It
belongs to the world's options, all but the split, and to the players that the world names for cloning, and lies in the
cache folder under a hash of them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from agents.models import locate_model
from envs.cache import cache_folder
from envs.errors import InputError
from envs.registry import config_class, env_class, options_of

WARM = "warm"
MADE = "warmstart.json"
_FORMAT = 1


def start_folder(env_config: Any) -> Path:  # noqa: ANN401 - the options class differs between environments
    """Returns where the starting policy of a world with these options is kept."""
    options = {name: value for name, value in options_of(env_config).items() if name != "split"}
    cloned = env_class(env_config.name).cloned
    known = [_FORMAT, env_config.name, options, *([list(cloned)] if cloned else [])]
    content = json.dumps(known, sort_keys=True, default=str)
    name = "".join(character if character.isalnum() else "_" for character in env_config.name)
    return cache_folder() / "warmstart" / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def warmstart_command(env_config: Any) -> str:  # noqa: ANN401
    """Returns the command that makes the starting policy of a world with these options."""
    return " ".join(["python -m training.warmstart", f"env={env_config.name}", *option_words(env_config)])


def option_words(env_config: Any) -> list[str]:  # noqa: ANN401
    """Writes a world's options that are not their defaults, all but the split, as a command line takes them."""
    default = config_class(env_config.name)()
    return [
        f"env.{name}={written(value)}"
        for name, value in options_of(env_config).items()
        if name != "split" and value != getattr(default, name)
    ]


def locate(path: str, env_config: Any, given_by: str = "model") -> str:  # noqa: ANN401
    """Finds a model as `locate_model` does, and `warm` as the starting policy of a world.

    Raises:
        InputError: there is no such model, or the starting policy is not made yet; the message says how to make it.
    """
    if path != WARM:
        return locate_model(path, given_by)
    folder = start_folder(env_config)
    if not is_made(folder):
        command = warmstart_command(env_config)
        raise InputError(f"{given_by}=warm: env={env_config.name} has no starting policy yet. Make it: {command}")
    return str(folder)


def is_made(folder: Path) -> bool:
    """Whether a starting policy is there, whole."""
    return (folder / MADE).is_file()


def written(value: object) -> str:
    """Writes an option's value as a command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{','.join(map(str, value))}]"
    return str(value)
