"""The folder where derived files are kept, and how they are written there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from envs.files import replace


def cache_folder() -> Path:
    """Returns where derived files are kept: `$KEYSTONE_CACHE`, else ~/.cache/keystone."""
    return Path(os.environ.get("KEYSTONE_CACHE") or Path.home() / ".cache" / "keystone").expanduser()


def write_aside(path: Path, content: bytes) -> None:
    """Writes a derived file so that nobody ever reads half of it; a cache that cannot be written is done without."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, content)
