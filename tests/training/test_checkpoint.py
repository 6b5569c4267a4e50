"""A checkpoint is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from envs.errors import InputError
from training import checkpoint

TENSORS = {"master/a": torch.arange(6.0).reshape(2, 3), "step/a": torch.tensor(3.0)}


def test_there_and_back(tmp_path: Path):
    path = tmp_path / "arm" / "latest.safetensors"
    for count in (1, 2):
        checkpoint.save(path, TENSORS, {"iterations": count, "history": [{"success": 0.1}]})
    tensors, counters = checkpoint.load(path)
    assert counters == {"iterations": 2, "history": [{"success": 0.1}]}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
    assert [file.name for file in path.parent.iterdir()] == ["latest.safetensors"]


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_cut_checkpoint_is_refused_in_one_line(tmp_path: Path, kept: int):
    path = tmp_path / "latest.safetensors"
    checkpoint.save(path, TENSORS, {"iterations": 1})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="Delete it to start that arm again") as refusal:
        checkpoint.load(path)
    assert "\n" not in str(refusal.value)


def test_other_files_are_refused(tmp_path: Path):
    save_file(TENSORS, str(tmp_path / "other"))
    for name in ("other", "nowhere"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            checkpoint.load(tmp_path / name)
