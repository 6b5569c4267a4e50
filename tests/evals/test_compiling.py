"""`evals.compiling` through the real inductor: compiled steps say what plain ones say, and the figures are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from envs.command import run_command
from evals.compiling import CompilingConfig, main


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_both_decode_alike_and_the_figures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    out = tmp_path / "figures.json"
    argv = ["blocks=1", "width=32", "vocabulary=40", "rows=3", "length=5", "steps=2", "rounds=1", f"out={out}"]
    assert run_command("compiling", CompilingConfig, main, description="", argv=argv) == 0
    content = json.loads(out.read_text())
    (row,) = content["rows"]
    assert row["largest_difference"] < 1e-4
    assert row["compile_seconds"] > row["step_seconds"]["plain"] > 0
    assert content["load"]["width"] == 32


def test_without_a_compiler_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert run_command("compiling", CompilingConfig, main, description="", argv=[]) == 2
    assert "needs a C++ compiler, and there is no no-such-compiler" in capsys.readouterr().err
