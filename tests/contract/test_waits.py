"""Every wait has a deadline, or a reviewed reason why it ends (`waits.toml`)."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from envs.installation import REPOSITORY
from tests.contract.waits import modules, waits

TABLE = Path(__file__).with_name("waits.toml")


def test_every_call_that_may_wait_for_ever_is_in_the_table():
    reviewed = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    found = [(path, wait) for path, text in modules(Path(REPOSITORY)) for wait in waits(text)]
    unknown = [
        f"{path}:{wait.line}: {wait.key} names no deadline"
        for path, wait in found
        if wait.key not in reviewed.get(path, {})
    ]
    assert not unknown, f"give them one that says what it waits for, or say in {TABLE.name} why they end: {unknown}"
    there = {(path, wait.key) for path, wait in found}
    stale = [f"{path}: {key}" for path, keys in reviewed.items() for key in keys if (path, key) not in there]
    assert not stale, f"nothing waits there any more, take them out of {TABLE.name}: {stale}"
    assert all(reason for keys in reviewed.values() for reason in keys.values())


WAITING = [
    "process.wait()",
    "thread.join()",
    "future.result()",
    "queue.get()",
    "process.communicate(b'')",
    "lock.acquire()",
    "connection.recv(10)",
    "selector.select()",
    "select.select([a], [], [])",
    "fcntl.flock(file, fcntl.LOCK_EX)",
    "subprocess.run(['true'])",
    "subprocess.check_output(['true'])",
    "urlopen('http://localhost')",
    "sqlite3.connect(path)",
    "futures.as_completed(all_of_them)",
    "pool.map(work, parts)",
    "with ThreadPoolExecutor(2) as pool: pass",
    "ray.get(reference)",
    "ray.wait(references, num_returns=1)",
    "distributed.all_gather(parts, own)",
    "distributed.init_process_group('gloo')",
    "os.waitpid(child, 0)",
    "os.read(pipe, 10)",
    "lock = threading.Lock()",
    "while not there():\n    time.sleep(0.1)",
    "import subprocess\nprocess.stdout.readline()",
    "process.wait(None)",
    "thread.join(None)",
    "queue.get(True)",
    "os.system('true')",
    "subprocess.getoutput('true')",
    "requests.get('http://localhost')",
    "with subprocess.Popen(['true']) as process: pass",
    "for line in process.stdout: pass",
    "[line for line in sys.stdin]",
]
NOT_WAITING = [
    "process.wait(3)",
    "process.wait(timeout=3)",
    "', '.join(parts)",
    "row.get(None, 3)",
    "for line in lines: pass",
    "with subprocess.run(['true'], timeout=3): pass",
    "thread.join(timeout=3)",
    "future.result(0)",
    "values.get('name')",
    "queue.get(timeout=3)",
    "process.communicate(timeout=3)",
    "lock.acquire(blocking=False)",
    "selector.select(0.1)",
    "select.select([a], [], [], 3)",
    "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "subprocess.run(['true'], timeout=3)",
    "urlopen('http://localhost', timeout=3)",
    "sqlite3.connect(path, timeout=3)",
    "map(str, values)",
    "ray.get(reference, timeout=3)",
    "work.run(1)",
    "os.waitpid(child, os.WNOHANG)",
    "time.sleep(0.1)",
    "open(path).read()",
]


@pytest.mark.parametrize("source", WAITING)
def test_a_wait_is_found(source: str):
    assert [wait.function for wait in waits(source)] == [""]
    indented = source.replace("\n", "\n        ")
    assert [wait.function for wait in waits(f"class A:\n    def f(self):\n        {indented}\n")] == ["A.f"]


def test_each_wait_of_a_function_is_reviewed():
    assert [wait.key for wait in waits("queue.get()\nqueue.get()\nother.wait()")] == ["get", "get 2", "wait"]


@pytest.mark.parametrize("source", NOT_WAITING)
def test_what_has_a_deadline_is_left_alone(source: str):
    assert waits(source) == []
