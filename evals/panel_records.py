"""Hashes of panels that are not pinned yet: recorded at first use, and held to from then on.

One file a panel, `panels/NAME.json` in the cache folder ($KEYSTONE_CACHE, else ~/.cache/keystone).
"""

from __future__ import annotations

import json
from pathlib import Path

from envs.cache import cache_folder, write_aside
from envs.errors import InputError
from envs.files import read_json, understood


def record_of(panel: str) -> Path:
    """Returns where a panel's hashes are recorded."""
    return cache_folder() / "panels" / f"{panel}.json"


def hold(panel: str, sha256: str, content_sha256: str) -> str:
    """Records a panel's hashes, or compares them with those of its first use.

    Args:
        panel: its name.
        sha256: of its task names.
        content_sha256: of what stands behind them; may be empty.

    Returns:
        A line that says which.

    Raises:
        InputError: the first use had others, or the record cannot be read.
    """
    file, here = record_of(panel), {"sha256": sha256, "content_sha256": content_sha256}
    if not file.is_file():
        write_aside(file, (json.dumps(here, indent=2) + "\n").encode())
        where = f"recorded at this first use in {file}" if file.is_file() else f"{file} cannot be written"
        return f"panel={panel}: hash not yet pinned; {where}."
    try:
        with understood(file, "the record of a panel"):
            first = read_json(file)
            known = {name: str(first[name]) for name in here}
    except InputError:
        raise InputError(f"panel={panel}: the record of its hashes {file} cannot be read. Delete it.") from None
    for name, what in (("sha256", "tasks"), ("content_sha256", "contents of tasks")):
        if known[name] != here[name]:
            then, now = known[name][:12] or "none", here[name][:12] or "none"
            raise InputError(
                f"panel={panel} had {what} of sha256 {then} when it was first used here, and has {now} now. Give the"
                f" data of then (data=PATH); or delete {file} if these are right."
            )
    return f"panel={panel}: hash not yet pinned; it is the one of the first use here, in {file}."
