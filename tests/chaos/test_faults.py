"""The table of faults: those that take seconds are provoked here, all of them by `python -m tests.chaos`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.command import run_command
from envs.installation import REPOSITORY
from tests.chaos.__main__ import ChaosConfig, main
from tests.chaos.jobs import Training
from tests.chaos.rows import Fault
from tests.chaos.signals import PHASES, asked, killed_at_random
from tests.chaos.table import FAULTS

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]
# All phases of Ctrl-C, all moments of a kill, and Java, which takes minutes, are the command's.
QUICK = sorted(set(FAULTS) - {"stopped_everywhere", "java_killed"})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture
def training(tmp_path: Path, kept: Path) -> Iterator[Training]:
    with Training(tmp_path, kept=kept) as made:
        yield made


@pytest.mark.parametrize("name", QUICK)
def test_a_fault(name: str, training: Training):
    assert FAULTS[name].try_out(training)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_asked_for_in_one_phase(training: Training, number: signal.Signals):
    assert FAULTS["stopped_everywhere"].promises(asked(training, list(PHASES)[2], number))


def test_a_kill_at_a_random_moment(training: Training):
    assert killed_at_random(training, 0)


def test_a_fault_that_fails_leaves_no_command_behind(tmp_path: Path):
    jobs = []

    def fails() -> None:
        with Training(tmp_path) as training:
            jobs.extend(training.start(tmp_path / name) for name in ("stopped", "running"))
            jobs[0].send(signal.SIGSTOP)
            raise AssertionError("a broken promise")

    with pytest.raises(AssertionError, match="a broken promise"):
        fails()
    assert [job.process.poll() for job in jobs] == [-signal.SIGKILL] * 2


def test_a_fault_that_cannot_be_provoked_hides_no_other(monkeypatch: Any, capsys: Any):
    def busy(training: Training) -> str:
        raise OSError(16, "the disk | is busy")

    def skipped(training: Training) -> str:
        pytest.skip("there is no disk")

    said = {"busy": busy, "skipped": skipped, "broken": lambda _: "7 disks", "kept": lambda _: "no disk"}
    table = {name: Fault(name, name, "no disk", "nothing", provoke) for name, provoke in said.items()}
    monkeypatch.setattr("tests.chaos.table.FAULTS", table)
    assert run_command("chaos", ChaosConfig, main, description="", argv=[]) == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        r"| busy | BROKEN PROMISE: OSError: [Errno 16] the disk \| is busy | nothing |",
        "| skipped | not tried here: there is no disk | nothing |",
        "| broken | BROKEN PROMISE: the user sees '7 disks', not 'no disk' | nothing |",
        "| kept | no disk | nothing |",
    ]
    assert run_command("chaos", ChaosConfig, main, description="", argv=["only=kept"]) == 0


def test_the_readme_has_the_table():
    readme = (Path(REPOSITORY) / "README.md").read_text(encoding="utf-8")
    _, _, table = readme.partition("| fault | what the user sees | what is lost |\n|---|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    assert sorted(rows) == sorted(f"| {fault.what} | {fault.seen} | {fault.lost} |" for fault in FAULTS.values())


@pytest.mark.parametrize(
    ("said", "promised"),
    [
        ("stopped: 12 MiB are left.", True),
        ("stopped: 1,234.5 MiB are left.", True),
        ("stopped: MiB are left.", False),
        ("stopped: 12 MiB are left. Traceback", False),
        ("error: no room for that (os error 3)", True),
        ("error: no room for that", False),
    ],
)
def test_a_line_is_the_promised_one_but_for_numbers_and_what_is_left_out(said: str, promised: bool):
    fault = Fault("full", "the disk is full", "stopped: N MiB are left. or: error: ... (os error 28)", "nothing", str)
    assert fault.promises(said) == promised
