"""The folder where derived files are kept, and how they are written there."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """Returns where derived files are kept: `$KEYSTONE_CACHE`, else ~/.cache/keystone."""
    return Path(os.environ.get("KEYSTONE_CACHE") or Path.home() / ".cache" / "keystone").expanduser()


def write_aside(path: Path, content: bytes) -> None:
    """Writes a derived file under another name and renames it, so that nobody ever reads half of it.

    A cache that cannot be written is done without.
    """
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
