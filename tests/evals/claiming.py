"""Another process that writes a folder."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from envs.installation import REPOSITORY

_HOLDER = """
import sys
from pathlib import Path
from evals.folder import Folder
folder = Folder(Path(sys.argv[1]))
folder.claim()
print("claimed", flush=True)
sys.stdin.read()
"""


@contextmanager
def claimed_elsewhere(folder: Path) -> Iterator[None]:
    """Has a process of its own claim a folder for the length of the block."""
    words = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(words, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "claimed\n"
        yield
        holder.stdin.close()


def is_free(folder: Path) -> bool:
    """Whether nobody has claimed a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
