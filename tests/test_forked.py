"""A copy of a prepared process does what a fresh interpreter does."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from envs.installation import REPOSITORY
from tests import forked
from tests.forked import Forked

_PROGRAM = """
import atexit, os, signal, sys
atexit.register(lambda: print("the end"))
print(sys.argv[1:], os.environ.get("GIVEN"), os.getcwd(), os.getsid(0) == os.getpid(), flush=True)
if sys.argv[1] == "wait":
    sys.stdin.close()
    signal.pause()
print("to err", file=sys.stderr)
raise {"exit": SystemExit(int(sys.argv[2])), "fail": KeyError("x")}[sys.argv[1]]
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "said_and_done.py").write_text(_PROGRAM)
    return tmp_path


@pytest.mark.parametrize("words", [("exit", "0"), ("exit", "7"), ("fail",)])
def test_it_ends_as_a_fresh_interpreter_does(program: Path, words: tuple[str, ...]):
    variables = {**os.environ, "GIVEN": "something"}
    command = [sys.executable, "-m", "said_and_done", *words]
    fresh = subprocess.run(command, cwd=program, env=variables, capture_output=True, text=True, start_new_session=True)
    out, err = program / "out", program / "err"
    copy = Forked("said_and_done", words, out, err, variables, program)
    assert copy.wait(60) == fresh.returncode
    assert out.read_text() == fresh.stdout
    assert out.read_text().endswith("the end\n")
    assert err.read_text().splitlines()[0] == fresh.stderr.splitlines()[0]
    assert err.read_text().splitlines()[-1] == fresh.stderr.splitlines()[-1]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_it_computes_with_the_threads_that_its_environment_says(tmp_path: Path, threads: str):
    (tmp_path / "threads.py").write_text("import torch\nprint(torch.get_num_threads())\n")
    out = tmp_path / "out"
    variables = {**os.environ, "OMP_NUM_THREADS": threads}
    assert Forked("threads", (), out, tmp_path / "err", variables, tmp_path).wait(60) == 0
    assert out.read_text() == f"{threads}\n"


@pytest.mark.timeout(1200)
def test_a_command_says_the_same():
    for words in (("--help",), ("sed=1",), ("layer=99", "data=generated")):
        command = [sys.executable, "-m", "training.run", *words]
        fresh = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        copy = forked.run("training.run", *words)
        assert (copy.returncode, copy.stdout, copy.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


def test_it_has_imported_what_takes_long(tmp_path: Path):
    (tmp_path / "asked.py").write_text("import sys; print('training.arms' in sys.modules)")
    out, err = tmp_path / "out", tmp_path / "err"
    assert Forked("asked", [], out, err, cwd=tmp_path).wait(60) == 0
    assert out.read_text() == "True\n"


def has_begun(copy: Forked, out: Path) -> None:
    """Waits until it has printed something."""
    limit = time.monotonic() + 60
    while not (out.exists() and out.read_text()):
        assert copy.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_signals_and_limits_reach_it(program: Path):
    out, err = program / "out", program / "err"
    copy = Forked("said_and_done", ["wait"], out, err, cwd=program, limits={resource.RLIMIT_NOFILE: 77})
    has_begun(copy, out)
    assert resource.prlimit(copy.pid, resource.RLIMIT_NOFILE) == (77, 77)
    with pytest.raises(subprocess.TimeoutExpired):
        copy.wait(0.01)
    copy.send_signal(signal.SIGINT)
    assert copy.wait(60) == 1
    assert "KeyboardInterrupt" in err.read_text()
    killed = Forked("said_and_done", ["wait"], out, err, cwd=program)
    killed.kill()
    assert killed.wait(60) == -signal.SIGKILL


_FAILS = """
import os, signal, sys
from pathlib import Path
from tests.forked import Forked
from tests.test_forked import has_begun

def fails(folder):
    for number in range(2):
        out = folder / f"out-{number}"
        copy = Forked("said_and_done", ["wait"], out, folder / "err", cwd=folder)
        has_begun(copy, out)
        print(copy.pid, flush=True)
    os.kill(copy.pid, signal.SIGSTOP)
    raise KeyError("a test that fails")

fails(Path(sys.argv[1]))
"""


def test_what_was_left_running_or_stopped_does_not_keep_an_interpreter_from_its_end(program: Path):
    command = [sys.executable, "-c", _FAILS, str(program)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 1
    assert "KeyError: 'a test that fails'" in ended.stderr
    left = [int(pid) for pid in ended.stdout.split()]
    assert len(left) == 2
    assert not any(map(psutil.pid_exists, left))
