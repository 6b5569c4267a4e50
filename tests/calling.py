"""Commands in processes of their own, as a user at home calls them, with or without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from envs.installation import REPOSITORY

# Every attempt to reach another machine is written down and refused. Libraries may not be told that this is a test.
NO_NETWORK = """
import os, socket
def refuse(*arguments, **options):
    with open(os.environ["ATTEMPTS"], "a") as file:
        file.write(repr(arguments) + "\\n")
    raise OSError("no network here")
class Socket(socket.socket):
    connect = connect_ex = sendto = refuse
socket.socket = Socket
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
"""


def environment(**changes: str) -> dict[str, str]:
    """The environment of a user at home: nothing says that this is a test."""
    hidden = {"CI", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "ALFWORLD_DATA"}
    return (
        {name: value for name, value in os.environ.items() if name not in hidden} | {"OMP_NUM_THREADS": "1"} | changes
    )


def offline(folder: Path) -> dict[str, str]:
    """Environment variables under which Python starts with `NO_NETWORK`."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    return {"PYTHONPATH": str(folder), "ATTEMPTS": str(folder / "attempts")}


def command(module: str, *words: str) -> list[str]:
    """The command line that runs a module."""
    return [sys.executable, "-m", module, *words]


def call(
    module: str, *words: str, folder: Path = REPOSITORY, typed: str = "", seconds: float = 600, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Calls a command and waits for its end.

    Args:
        module: the command.
        words: its arguments.
        folder: where it is called.
        typed: what is typed into it.
        seconds: what it may take.
        changes: environment variables.
    """
    return subprocess.run(
        command(module, *words),
        cwd=folder,
        env=environment(**changes),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
