"""Ordinary programs in the sandbox, the choice of what confines them, and workers that break."""

from __future__ import annotations

import multiprocessing
import os
import re
import select
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import sandbox
from envs.errors import InputError
from envs.sandbox import Limits, execution, launch, pool, seccomp
from tests.envs.sandbox.processes import below

SETTINGS = settings(max_examples=10, deadline=None)


@pytest.fixture(scope="module", params=[*sandbox.MEANS, "unsafe"])
def means(request: pytest.FixtureRequest) -> str:
    if request.param in sandbox.MEANS and (problem := sandbox.problem(request.param)):
        pytest.skip(f"{request.param}: {problem} (apt-get install bubblewrap)")
    return str(request.param)


@pytest.fixture
def fresh_pool(monkeypatch: pytest.MonkeyPatch):
    """A pool of its own, for tests that break workers or look for means."""
    made = pool.Pool()
    monkeypatch.setattr(pool, "_pool", made)
    yield made
    made.close()


def test_what_a_program_says_and_how_it_ends(means: str):
    program = "import sys\nprint(input() + '!')\nprint('oh', file=sys.stderr)\nsys.exit(3)"
    result = sandbox.run(program, stdin="hello\n", sandbox=means)
    assert (result.stdout, result.stderr) == ("hello!\n", "oh\n")
    assert (result.status, result.exit_code, result.means) == ("error", 3, means)


def test_a_program_runs_as_the_main_program_with_tracebacks(means: str):
    result = sandbox.run("import sys\nassert __name__ == '__main__' and len(sys.argv) == 1\n1 / 0", sandbox=means)
    assert result.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert 'File "program.py", line 3' in result.stderr
    assert "    1 / 0" in result.stderr
    assert result.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "SyntaxError" in sandbox.run("def", sandbox=means).stderr


def test_the_standard_library_and_the_scratch_folder_can_be_used(means: str):
    program = """
import asyncio, ctypes, decimal, json, concurrent.futures, os, pathlib, re, sqlite3, tempfile, threading, zlib
pathlib.Path("a/b").mkdir(parents=True)
pathlib.Path("a/b/file").write_text("x" * 10)
pathlib.Path("a/b/file").rename("file")
os.symlink("file", "link")
with tempfile.TemporaryFile() as file: file.write(b"y")
async def main(): await asyncio.sleep(0.001); return open("link").read()
print(asyncio.run(main()))
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
child = os.fork()
if not child: os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]), list(concurrent.futures.ThreadPoolExecutor(2).map(abs, [-1, 2])))
print(open("/dev/null").read() == "", len(os.urandom(3)))
"""
    result = sandbox.run(program, sandbox=means)
    assert result.stdout == "xxxxxxxxxx\nthread\n7 [1, 2]\nTrue 3\n", result.stderr


def test_installed_packages_do_not_exist(means: str):
    if means == "unsafe":
        pytest.skip("without a sandbox everything that can be read exists")
    result = sandbox.run(
        "import sys\nprint([path for path in sys.path if 'packages' in path])\nimport numpy", sandbox=means
    )
    assert result.stdout == "[]\n"
    assert "No module named 'numpy'" in result.stderr


def test_runs_are_alike_and_start_from_nothing(means: str):
    program = "import os, random\nprint(random.random(), hash('a'), os.listdir())\nopen('x', 'w')"
    assert len({sandbox.run(program, sandbox=means).stdout for _ in range(4)}) == 1


def test_a_signal_without_a_name_ends_a_program_like_any_other():
    # With a process namespace, a program is the first process there, to which such signals do nothing.
    for number, name in ((40, "signal 40"), (signal.SIGTERM, "SIGTERM")):
        result = sandbox.run(f"import os\nos.kill(os.getpid(), {number})", sandbox="unsafe")
        assert (result.status, result.reason, result.exit_code) == ("signal", f"ended by {name}", -number)


def test_processor_time_is_limited(means: str):
    result = sandbox.run("while True: pass", limits=Limits(wall_seconds=30, cpu_seconds=1), sandbox=means)
    assert (result.status, result.exit_code) == ("processor time", -signal.SIGKILL)
    assert "1 s of processor time" in result.reason


@SETTINGS
@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_comes_through(text: str):
    result = sandbox.run("import sys\nsys.stdout.write(sys.stdin.read())", stdin=text.replace("\r", ""))
    assert result.stdout == text.replace("\r", "")


@SETTINGS
@given(st.text(st.characters(), max_size=200))
def test_any_text_may_be_a_program(program: str):
    result = sandbox.run(program, limits=Limits(wall_seconds=2, cpu_seconds=1))
    assert result.status in ("ok", "error", "time", "processor time")


def test_many_threads_share_the_workers():
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda number: sandbox.run(f"print({number})").stdout, range(40)))
    assert results == [f"{number}\n" for number in range(40)]


def _in_a_child(answers: multiprocessing.SimpleQueue[str]) -> None:
    answers.put(sandbox.run("print('child')").stdout)


def test_a_forked_process_has_workers_of_its_own():
    assert sandbox.run("print(1)").stdout == "1\n"
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    child = context.Process(target=_in_a_child, args=(answers,))
    child.start()
    assert sandbox.run("print('parent')").stdout == "parent\n"
    assert answers.get() == "child\n"
    child.join(20)
    assert child.exitcode == 0
    assert sandbox.run("print(2)").stdout == "2\n"


@pytest.mark.fault
def test_a_worker_that_was_killed_is_replaced(means: str, fresh_pool: pool.Pool):
    assert sandbox.run("print(1)", sandbox=means).stdout == "1\n"
    (worker,) = fresh_pool._idle
    for process in below(worker.process.pid) | {worker.process.pid}:
        os.kill(process, signal.SIGKILL)
    assert sandbox.run("print(2)", sandbox=means).stdout == "2\n"
    assert fresh_pool._idle != [worker]


@pytest.mark.fault
def test_a_worker_ends_when_its_host_dies():
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            worker = launch.Worker("unsafe" if sandbox.problem("namespaces") else "namespaces")
            held = [worker.process.pid, *below(worker.process.pid)]
            os.write(write, " ".join(map(str, held)).encode())
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            # An exception must not go on with the tests here.
            os._exit(1)
    os.close(write)
    processes = [int(word) for word in os.read(read, 1000).split()]
    os.waitpid(child, 0)
    os.close(read)
    assert processes
    for process in processes:
        wait_for_the_end(process)


@pytest.mark.fault
def test_a_worker_that_is_gone_leaves_no_pipes():
    worker = launch.Worker("unsafe")
    worker.process.kill()
    worker.process.wait(30)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(launch.SandboxError, match="the sandbox's worker is gone"):
        execution.Execution(worker, "print(1)", Limits())
    assert sorted(os.listdir("/proc/self/fd")) == before
    worker.close()


def wait_for_the_end(process: int) -> None:
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    ended, _, _ = select.select([descriptor], [], [], 30)
    os.close(descriptor)
    assert ended, f"process {process} still runs"


def test_a_missing_bubblewrap_gives_way_to_namespaces(monkeypatch: pytest.MonkeyPatch, fresh_pool: pool.Pool):
    monkeypatch.setattr(launch.shutil, "which", lambda name: None)
    assert sandbox.problem("bubblewrap") == "not installed"
    if not sandbox.problem("namespaces"):
        assert sandbox.means() == "namespaces"


def test_a_sandbox_that_never_starts_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    silent = tmp_path / "bwrap"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(launch, "_START_SECONDS", 0.5)
    with pytest.raises(launch.SandboxError, match=r"bubblewrap did not start within 0\.5 s"):
        launch.Worker("bubblewrap")


def test_nothing_runs_where_nothing_confines(monkeypatch: pytest.MonkeyPatch, fresh_pool: pool.Pool):
    monkeypatch.setattr(pool, "missing", lambda means: "" if means == "unsafe" else "not on this machine")
    with pytest.raises(InputError, match=r"apt-get install bubblewrap.*sandbox=unsafe") as caught:
        sandbox.run("print(1)")
    assert "\n" not in str(caught.value)
    assert sandbox.means("unsafe") == "unsafe"


@pytest.mark.parametrize("choice", ["bubblewarp", "none", ""])
def test_unknown_means_are_refused(choice: str):
    with pytest.raises(InputError, match="unknown sandbox"):
        sandbox.run("print(1)", sandbox=choice)


@pytest.mark.parametrize("name", ["wall_seconds", "cpu_seconds", "memory_mb", "processes", "open_files", "output_kb"])
def test_limits_that_allow_nothing_are_refused(name: str):
    with pytest.raises(InputError, match=name):
        Limits(**{name: 0})


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_of_system_calls_are_those_of_the_kernel(machine: str, header: str):
    if not Path(header).is_file():
        pytest.skip(f"{header} is not there (apt-get install linux-libc-dev)")
    defined = [line.split()[1:3] for line in Path(header).read_text().splitlines() if line.startswith("#define __NR")]
    known = {re.sub("__NR(3264)?_", "", name): number for name, number in defined if number.isdigit()}
    known.setdefault("newfstatat", known.get("fstatat", ""))
    numbers = seccomp.numbers(machine)
    assert len(numbers) > 100
    assert {name: str(number) for name, number in numbers.items()} == {name: known[name] for name in numbers}
