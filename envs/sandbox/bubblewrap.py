"""What starting bubblewrap takes: its command line, the pipes it talks through, and the users in its namespace."""

from __future__ import annotations

import os
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from envs.sandbox import world

_NOBODY = 65534


def words(files: world.World) -> list[str]:
    """The command line that shows a program these files and nothing else; what it runs stands behind."""
    program = shutil.which("bwrap") or "bwrap"
    line = [program, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    line += ["--unshare-cgroup-try", "--as-pid-1", "--cap-add", "ALL", "--hostname", "sandbox"]
    shown = files["readable"] + files["devices"]
    above = {str(folder) for path in shown for folder in Path(path).parents[:-1]}
    for path in sorted(above):
        # Bubblewrap would let nobody but the owner in.
        line += ["--perms", "0755", "--dir", path]
    for path in files["readable"]:
        line += ["--ro-bind", path, path]
    for path in files["hidden"]:
        line += ["--tmpfs", path, "--remount-ro", path]
    for path, content in files["links"].items():
        line += ["--symlink", content, path]
    for path in files["devices"]:
        line += ["--dev-bind", path, path]
    return [*line, "--dir", world.SCRATCH, "--remount-ro", "/", "--chdir", "/"]


def heard(pipe: IO[bytes], seconds: float) -> bytes:
    """Reads what a starting sandbox says of itself, to the end.

    Args:
        pipe: what it writes to.
        seconds: how long it may take.

    Raises:
        TimeoutError: it has not finished in time.
    """
    deadline, said = time.monotonic() + seconds, b""
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(pipe.fileno(), 1 << 16)
        if not part:
            return said
        said += part
    raise TimeoutError(f"bubblewrap did not start within {seconds:g} s")


def map_users(process: int) -> int:
    """Says which users of ours are which in a new user namespace.

    Args:
        process: the first process of that namespace.

    Returns:
        The user id for programs there: 0, this user, or 1, nobody, where this is root.
    """
    folder = Path(f"/proc/{process}")
    if os.geteuid() == 0:
        for kind in ("uid", "gid"):
            (folder / f"{kind}_map").write_text(f"0 0 1\n1 {_NOBODY} 1\n")
        return 1
    (folder / "setgroups").write_text("deny")
    (folder / "uid_map").write_text(f"0 {os.geteuid()} 1")
    (folder / "gid_map").write_text(f"0 {os.getegid()} 1")
    return 0


@contextmanager
def pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Opens a pipe: its end to read from and its end to write to."""
    read, write = os.pipe()
    with open(read, "rb") as to_read, open(write, "wb", buffering=0) as to_write:
        yield to_read, to_write
