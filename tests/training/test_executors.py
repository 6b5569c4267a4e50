"""Cells here and on Ray give the same rows, also where their processes die, are stopped or fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from envs.errors import InputError
from envs.installation import REPOSITORY
from training.cell_devices import least_used
from training.cell_workers import TRIES, LostCellError
from training.executors import run_cells

pytestmark = pytest.mark.fault


def hurt_once(number: int, how: int, marks: str) -> dict[str, Any]:
    """Gets a signal the first time that it is called with the number 1."""
    mark = Path(marks) / str(number)
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), how)
    return {"square": number**2}


def hurt_always(how: int) -> dict[str, Any]:
    os.kill(os.getpid(), how)
    return {}


def refused(number: int, marks: str) -> dict[str, Any]:
    (Path(marks) / str(number)).touch()
    raise InputError(f"number {number} is refused")


def squares(tmp_path: Path, how: int, executor: str, idle_seconds: float) -> list[str]:
    said: list[str] = []
    calls = [(number, how, str(tmp_path)) for number in range(3)]
    names = ["zero", "one", "two"]
    rows = run_cells(hurt_once, calls, 2, executor, names=names, idle_seconds=idle_seconds, say=said.append)
    assert sorted(row["square"] for row in rows) == [0, 1, 4]
    return said


def test_a_cell_whose_process_is_killed_is_begun_again(tmp_path: Path):
    (line,) = squares(tmp_path, signal.SIGKILL, "local", 1000.0)
    assert "cell one: its process " in line
    assert line.endswith("was killed by SIGKILL. The cell goes on in another one, try 2 of 3.")


def test_a_cell_whose_process_is_stopped_is_begun_again(tmp_path: Path):
    (line,) = squares(tmp_path, signal.SIGSTOP, "local", 3.0)
    assert "cell one: its process " in line
    assert "has used no processor time for 3 s (it is stopped) and is killed." in line


def test_a_cell_that_kills_every_process_is_given_up():
    said: list[str] = []
    with pytest.raises(LostCellError, match=f"cell it: .* killed by SIGKILL.* begun {TRIES} times.*same command"):
        list(run_cells(hurt_always, [(signal.SIGKILL,)], 1, names=["it"], say=said.append))
    assert len(said) == TRIES - 1


def test_a_cell_that_fails_keeps_nobody_waiting(tmp_path: Path):
    with pytest.raises(InputError, match="number 0 is refused"):
        list(run_cells(refused, [(number, str(tmp_path)) for number in range(20)], 1))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cell_that_kills_every_process_of_ray_is_given_up():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'keystone-rl[ray]'")
    with pytest.raises(LostCellError, match=f"cell it: its process died. It was begun {TRIES} times.*same command"):
        list(run_cells(hurt_always, [(signal.SIGKILL,)], 1, "ray", names=["it"]))


def test_a_cell_that_fails_on_ray_raises_what_it_raised(tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'keystone-rl[ray]'")
    with pytest.raises(InputError) as raised:
        list(run_cells(refused, [(0, str(tmp_path))], 1, "ray"))
    assert str(raised.value) == "number 0 is refused"


def test_a_stopped_process_of_ray_is_killed_and_its_cell_begun_again(tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'keystone-rl[ray]'")
    (line,) = squares(tmp_path, signal.SIGSTOP, "ray", 6.0)
    assert "cell one: its process " in line
    assert "was not heard of for 6 s and is killed" in line


def device(_number: int, together: str, count: int) -> dict[str, Any]:
    """Says which GPU it may use, once all of them run."""
    (Path(together) / str(os.getpid())).touch()
    until = time.monotonic() + 120
    while len(list(Path(together).iterdir())) < count and time.monotonic() < until:
        time.sleep(0.05)
    return {"device": os.environ.get("CUDA_VISIBLE_DEVICES", "")}


def test_workers_are_spread_over_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    rows = run_cells(device, [(number, str(tmp_path), 3) for number in range(3)], 3)
    assert sorted(row["device"] for row in rows) == ["5", "5", "GPU-7"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,GPU-7"
    assert least_used(["5", "GPU-7"], ["5", "5", "GPU-7"]) == "GPU-7"
    assert least_used([], []) == ""


def test_cells_on_ray_have_a_gpu_each_where_there_are_some(tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'keystone-rl[ray]'")
    code = (
        "import ray, sys\n"
        "from training.executors import run_cells\n"
        "from tests.training.test_executors import device\n"
        "ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)\n"
        "rows = run_cells(device, [(number, sys.argv[1], 2) for number in range(2)], 2, 'ray')\n"
        "print(sorted(row['device'] for row in rows))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["['0', '1']"], done.stderr
