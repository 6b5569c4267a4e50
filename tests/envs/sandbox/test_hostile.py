"""Hostile programs are contained by every means: nothing gets out or is left running, the next program is served."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs import sandbox
from envs.installation import REPOSITORY
from envs.sandbox import Limits, SandboxResult
from tests.envs.sandbox.hostile import ENDINGS, PROGRAMS, numbers
from tests.envs.sandbox.processes import below

SHORT = Limits(wall_seconds=1.0, cpu_seconds=1, memory_mb=256, output_kb=64)
# For programs that end or break another limit, however busy the machine is.
LONG = Limits(wall_seconds=60.0, cpu_seconds=30, memory_mb=256, output_kb=64)
SECRET = "secret-of-the-host-7391"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A port of the host at which nobody may ever call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture(scope="module")
def facts(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What hostile programs know of the host, as program text."""
    secret = tmp_path_factory.mktemp("host") / "secret.txt"
    secret.write_text(SECRET)
    os.environ["KEYSTONE_SECRET"] = SECRET
    paths = [str(secret), f"{REPOSITORY}/pyproject.toml", __file__, "/etc/passwd", "/etc/hostname", "/root/.bashrc"]
    known = {"pid": os.getpid(), "worker": os.getppid(), "port": port, "project": str(REPOSITORY), "paths": paths}
    known |= {"secret": SECRET, "N": numbers(platform.machine())}
    yield "\n".join(f"{name} = {value!r}" for name, value in known.items())
    del os.environ["KEYSTONE_SECRET"]
    assert secret.read_text() == SECRET


@pytest.fixture(scope="module", params=sandbox.MEANS)
def means(request: pytest.FixtureRequest) -> str:
    problem = sandbox.problem(request.param)
    if problem:
        pytest.skip(f"{request.param}: {problem} (apt-get install bubblewrap)")
    return str(request.param)


def run(program: str, means: str, limits: Limits = LONG) -> SandboxResult:
    return sandbox.run(program, limits=limits, sandbox=means)


def test_there_are_enough_of_them():
    assert len(PROGRAMS) >= 40


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program(name: str, means: str, facts: str):
    assert run("print(1)", means).stdout == "1\n"
    before = below(os.getpid())
    endings = ENDINGS.get(name, {"ok", "error", "signal"})
    result = run(f"{facts}\n{PROGRAMS[name]}", means, SHORT if "time" in endings else LONG)
    assert "ESCAPED" not in result.stdout
    assert SECRET not in result.stdout + result.stderr
    assert result.status in endings, result
    assert len(result.stdout) <= LONG.output_kb * 1024
    assert below(os.getpid()) == before, "a process is left, or the worker did not survive"
    after = run("import os\nprint(os.listdir())", means)
    assert (after.status, after.stdout) == ("ok", "[]\n")


def test_programs_run_by_every_means(means: str):
    result = run("print(input(), file=open('file', 'w'))", means)
    assert result.status == "error"
    assert "EOFError" in result.stderr
    assert result.means == means


def test_nothing_of_the_project_is_changed():
    assert Path(REPOSITORY, "pyproject.toml").read_text().startswith("[build-system]")
