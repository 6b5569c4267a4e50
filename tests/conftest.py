"""Fixtures that several folders share: the real data named by $KEYSTONE_TEST_DATA."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest

# The tests run in several processes at once; each uses one core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray gives way to all other processes, so that beside other tests its own would take minutes.
os.environ.setdefault("RAY_worker_niceness", "0")
# TRL, which only tests use beside the warm start, reports its use otherwise.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# Of one run of the tests, for all its processes: what an earlier version of the code kept is not believed, and the
# cache of whoever runs them stays as it is.
_OWN_CACHE = "PYTEST_XDIST_WORKER" not in os.environ
if _OWN_CACHE:
    os.environ["KEYSTONE_CACHE"] = tempfile.mkdtemp(prefix="keystone-test-cache-")


def pytest_unconfigure() -> None:
    """Takes the cache away with the process that made it."""
    if _OWN_CACHE:
        shutil.rmtree(os.environ["KEYSTONE_CACHE"], ignore_errors=True)


_ARCHIVES = ("train_games.tar.xz", "train_traj_data.tar.xz", "valid_seen.tar.xz")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    folder = os.environ.get("KEYSTONE_TEST_DATA")
    if not folder:
        pytest.skip("$KEYSTONE_TEST_DATA is not set: this test needs real data")
    return Path(folder)


@pytest.fixture(scope="session")
def alfworld_data(real_data: Path) -> Path:
    """The folder that holds ALFWorld's `json_2.1.1`, unpacked once into a cache and never written to by tests."""
    archives = [real_data / "alfworld" / name for name in _ARCHIVES]
    missing = [str(archive) for archive in archives if not archive.is_file()]
    assert not missing, f"$KEYSTONE_TEST_DATA is set, but these are missing: {missing}"
    digest = hashlib.sha256()
    for archive in archives:
        digest.update(archive.read_bytes())
    cache = Path(tempfile.gettempdir()) / "keystone-test-data"
    cache.mkdir(exist_ok=True)
    folder = cache / f"alfworld-{digest.hexdigest()[:16]}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _unpack(archives, folder)
    return folder


def _unpack(archives: list[Path], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
        for archive in archives:
            with tarfile.open(archive) as content:
                content.extractall(Path(partial) / "data", filter="data")
        (Path(partial) / "data").rename(folder)
