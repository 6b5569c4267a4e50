from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from envs.installation import REPOSITORY
from tests.soak.holdings import SLACK, course, held

_HOLDER = """
import subprocess, sys, tempfile
files = [tempfile.TemporaryFile() for _ in range(20)]
kept = tempfile.NamedTemporaryFile()
below = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
memory = bytearray(b"x") * (64 << 20)
print("ready", flush=True)
sys.stdin.read()
"""


def test_all_that_a_process_and_those_below_it_hold_is_counted(tmp_path: Path):
    words = [sys.executable, "-c", _HOLDER]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"TMPDIR": str(tmp_path)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        found = held(psutil.Process(process.pid), tmp_path)
    assert found["processes"] == 2
    assert found["descriptors"] >= 20 + 3 + 3
    assert found["rss_mib"] > 64
    assert found["scratch_files"] == 1


@pytest.mark.parametrize("what", SLACK)
def test_what_grows_is_told_from_what_is_flat(what: str):
    share, amount = SLACK[what]
    step = 4 * (100 * share + amount) / 100
    assert course(what, [100 + step * look for look in range(100)]).grows
    assert not course(what, [100 + look % 2 for look in range(100)]).grows
    # The first quarter fills caches.
    assert not course(what, [min(20, look) * 5.0 for look in range(100)]).grows


def test_a_course_has_four_quarters():
    assert course("processes", [1, 2, 3, 4]).quarters == (1, 2, 3, 4)
    with pytest.raises(ValueError, match="3 looks"):
        course("processes", [1, 2, 3])


def test_a_short_training_is_watched_and_ended(tmp_path: Path):
    out = tmp_path / "soak.json"
    words = ["minutes=0.05", "every=0.2", "worlds=guess", f"out={out}"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=280
    )
    content = json.loads(out.read_text())
    assert content["worlds"]["guess"]["left"] == [], done.stdout + done.stderr
    assert len(content["worlds"]["guess"]["looks"]) == 15
    assert content["worlds"]["guess"]["iterations"] >= 1
    for what in SLACK:
        assert f"| guess | {content['worlds']['guess']['iterations']} | {what} |" in done.stdout
