"""What CONTRIBUTING shows works as it stands there: an estimator, a selector and a detector, each one new file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from envs.config import load
from tests.training.rows import random_rows
from tests.training.selectors.test_auto import as_groups, probe
from training import advantages, detectors, selectors
from training.config import RunConfig
from training.detectors import Update, WatchConfig
from training.prepare import check_layer
from training.watch import Watch

REPOSITORY = Path(__file__).parents[2]


def shown(title: str) -> str:
    """The program in a section of CONTRIBUTING."""
    section = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    (program,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(program.splitlines()) < 40
    return str(program)


def test_the_estimator_that_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "winners.py").write_text(shown("Adding an advantage estimator"))
    monkeypatch.setattr(advantages, "__path__", [*advantages.__path__, str(tmp_path)])
    assert load(RunConfig, ["algorithm=winners"]).algorithm.name == "winners"
    estimator = advantages.find("winners")
    table = {"group": [0] * 4, "episode": [0, 1, 1, 2], "reward": [1.0, 0.0, 0.0, 0.5]}
    np.testing.assert_array_equal(estimator.advantages(table, estimator.Config()), [1, -1, -1, 0])


def test_the_selector_that_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "squared.py").write_text(shown("Adding a layer selector"))
    monkeypatch.setattr(selectors, "__path__", [*selectors.__path__, str(tmp_path)])
    assert check_layer("squared", str(REPOSITORY / "agents" / "pretrained" / "tiny")) is None
    choice = selectors.find("squared")(probe(as_groups(random_rows(12))))
    assert len(choice.blocks) == 4
    assert all(block.score is not None and block.score > 0 for block in choice.blocks)


def test_the_detector_that_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "steep.py").write_text(shown("Adding a detector"))
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(tmp_path)])
    watch = Watch(WatchConfig())
    assert not watch.refuses(Update(0.1, 1e3, 0.0, 0.0, 1.0))
    assert watch.refuses(Update(0.1, 1e7, 0.0, 0.0, 1.0))
    (finding,) = watch.iteration({"success": 0.5, "zero_groups": 0.0}, [])
    assert (finding.detector, finding.words) == ("steep", "the gradient's norm is 1e+07")
