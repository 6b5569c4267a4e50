"""Going back to weights that nothing was wrong with: to which, also in a run that was stopped or has lost files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.targets import Target
from evals.stopping import StoppedError
from tests.training.guessing import write_model
from tests.training.test_selection import opened
from training import detectors
from training.arms import train
from training.folder import LOG
from training.running import CHECKPOINTS
from training.watch import sound

DETECTOR = """
AT = "iteration"
DAMAGES = {damages}


def wrong(seen, config):
    return "as planned" if seen.episodes[0].key.iteration in {iterations} else ""
"""
Weights = list[dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("roll_back") / "model", 3)


def plan(folder: Path, monkeypatch: pytest.MonkeyPatch, damaging: set[int], harmless: set[int]) -> None:
    """Adds detectors that find something in these iterations, counted from 0."""
    (folder / "planned_harm.py").write_text(DETECTOR.format(damages=True, iterations=damaging))
    (folder / "planned_noise.py").write_text(DETECTOR.format(damages=False, iterations=harmless))
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(folder)])
    for name in ("planned_harm", "planned_noise"):
        monkeypatch.delitem(sys.modules, f"training.detectors.{name}", raising=False)


def trained(model: Path, folder: Path, every: int, *, stop_at: int = -1, after: Any = None) -> tuple[Weights, Any]:
    """Trains block 1 for six iterations; its weights after each, and the history.

    Args:
        model: the model's folder.
        folder: the run's.
        every: a checkpoint is written after so many iterations.
        stop_at: the run is stopped in the midst of this iteration.
        after: called with the number of iterations after each.
    """
    weights = Weights()

    def keep(history: Any, tensors: Mapping[str, torch.Tensor]) -> None:
        weights.append({name: value.clone() for name, value in tensors.items()})
        if after is not None:
            after(len(history))

    words = (f"checkpoint_every={every}", "iterations=6", "watch.roll_back=true", "watch.limit=0")
    others = [f"watch.{name}=0" for name in ("kl", "reference_kl", "ratio", "entropy", "signal", "identical")]
    with opened(model, folder, *words, *others) as run:

        def check() -> None:
            if len(weights) == stop_at:
                raise StoppedError

        run.stop.check = check  # type: ignore[method-assign]
        history = train(run, "layer", Target((1,)), keep)["history"]
    return weights, history


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_stop_does_not_change_where_a_run_goes_back_to(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan(tmp_path, monkeypatch, {4}, set())
    whole, history = trained(model_folder, tmp_path / "whole", 3)
    assert [row.get("rolled_back", False) for row in history] == [False] * 4 + [True, False]
    assert same(whole[4], whole[2])
    assert not same(whole[3], whole[2])
    with pytest.raises(StoppedError):
        trained(model_folder, tmp_path / "parts", 3, stop_at=4)
    arm = tmp_path / "parts" / CHECKPOINTS / "layer"
    assert (arm / "iteration-00004.safetensors").is_file()
    rest, _ = trained(model_folder, tmp_path / "parts", 3)
    assert len(rest) == 2
    assert all(same(one, other) for one, other in zip(rest, whole[4:], strict=True))


def test_weights_that_something_was_wrong_with_are_not_gone_back_to(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan(tmp_path, monkeypatch, {4}, {1, 2, 3})
    weights, history = trained(model_folder, tmp_path / "run", 1)
    assert history[4]["rolled_back"]
    assert same(weights[4], weights[0])
    assert not same(weights[3], weights[0])


def test_where_no_checkpoint_can_be_read_the_run_says_so_and_goes_on(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan(tmp_path, monkeypatch, {3}, set())
    arm = tmp_path / "run" / CHECKPOINTS / "layer"

    def spoil(done: int) -> None:
        if done == 3:
            for file in arm.iterdir():
                file.write_bytes(b"cut")

    weights, history = trained(model_folder, tmp_path / "run", 2, after=spoil)
    assert len(weights) == 6
    assert not any("rolled_back" in row for row in history)
    assert "no checkpoint can be gone back to; the weights stay as they are." in (tmp_path / "run" / LOG).read_text()


def test_which_checkpoints_are_sound():
    history = [{}, {"found": {"signal": ""}}, {}, {"found": {"kl": ""}, "rolled_back": True}, {}]
    assert sound(history, 1) == {0, 1, 3, 4, 5}
    assert sound(history, 2) == {0, 4}
    assert sound([], 3) == {0}
