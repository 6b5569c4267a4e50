"""Broken files of every kind: a clear line or an answer, nothing run, nothing written elsewhere, no hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.reader import Reader
from tests.fuzz.readers import READERS
from tests.fuzz.trying import Trial

EXAMPLES = 15


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    reader: Reader = request.param
    if reader.missing:
        pytest.skip(f"{reader.name}: {reader.needs} is not installed")
    (tmp_path / "also").mkdir()
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "trial" / "also"))
    (tmp_path / "trial").mkdir()
    return Trial(reader, tmp_path / "trial")


each = pytest.mark.parametrize("trial", READERS, ids=lambda reader: reader.name, indirect=True)


@each
def test_whole_files_are_read(trial: Trial):
    assert trial.names
    assert trial.read({}) == ""


@each
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    # Without shrinking, which the long run does.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_broken_files(trial: Trial, data: st.DataObject):
    trial.read(data.draw(trial.changes()))
