"""What the system refuses a command is one line and an exit code, whatever it is."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from envs.alfworld import facts
from envs.command import run_command
from tests.calling import command, environment


@dataclass(frozen=True)
class NoConfig:
    """No keys."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (IsADirectoryError(21, "Is a directory", "out"), "error: Is a directory: 'out'.\n"),
        (OSError(28, "No space left on device"), "error: No space left on device.\n"),
        (OSError("the hub says\nno"), "error: the hub says no.\n"),
        (ConnectionResetError(104, "Connection reset by peer"), "error: Connection reset by peer.\n"),
    ],
)
def test_what_the_system_refuses_is_one_line(error: OSError, line: str, capsys: pytest.CaptureFixture[str]):
    def work(config: NoConfig) -> None:
        raise error

    assert run_command("tool", NoConfig, work, description="", argv=[]) == 1
    assert capsys.readouterr().err == line


def test_output_that_cannot_be_written_is_one_line():
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command("envs.list"), stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), timeout=120
        )
    assert (ended.returncode, ended.stderr) == (1, "error: No space left on device.\n")


@pytest.mark.parametrize("out", ["/nowhere/facts.json", "{folder}"])
def test_the_table_of_facts_is_not_made_for_nothing(out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["data=/nowhere/at/all", f"out={out.format(folder=tmp_path)}"]
    assert run_command("facts", facts.FactsConfig, facts.main, description="", argv=words) == 2
    assert capsys.readouterr().err.startswith(f"error: {words[1]}")
