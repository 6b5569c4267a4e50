"""The table of faults: those that take seconds are provoked here, all of them by `python -m tests.chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.installation import REPOSITORY
from tests.chaos.faults import PHASES, ctrl_c, killed_at_random
from tests.chaos.jobs import Training
from tests.chaos.table import FAULTS

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]
# All phases of Ctrl-C, all moments of a kill, and Java, which takes minutes, are the command's.
QUICK = sorted(set(FAULTS) - {"ctrl_c_everywhere", "java_killed"})


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return Training(tmp_path_factory.mktemp("chaos"))


@pytest.mark.parametrize("name", QUICK)
def test_a_fault(name: str, training: Training):
    assert FAULTS[name].provoke(training)


def test_ctrl_c_in_one_phase(training: Training):
    assert ctrl_c(training, list(PHASES)[2])


def test_a_kill_at_a_random_moment(training: Training):
    assert killed_at_random(training, 0)


def test_the_readme_has_the_table():
    readme = (Path(REPOSITORY) / "README.md").read_text(encoding="utf-8")
    for fault in FAULTS.values():
        assert f"| {fault.what} |" in readme
