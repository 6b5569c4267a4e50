"""A checkpoint is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from envs.errors import InputError, StorageError
from training import checkpoint
from training.checkpoint import Checkpoints

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
    with pytest.raises(InputError, match="cannot be read") as refusal:
        checkpoint.load(path)
    assert "\n" not in str(refusal.value)


def test_other_files_are_refused(tmp_path: Path):
    save_file(TENSORS, str(tmp_path / "other"))
    for name in ("other", "nowhere"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            checkpoint.load(tmp_path / name)


def history(*successes: float) -> list[dict[str, float]]:
    return [{"success": success} for success in successes]


def test_changed_bytes_are_noticed(tmp_path: Path):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, TENSORS, {"iterations": 1})
    content = path.read_bytes()
    found = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            tensors, counters = checkpoint.load(path)
        except InputError:
            found += 1
        else:  # spaces that fill up the header, say
            assert counters == {"iterations": 1}
            assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
    assert found > 0.7 * len(content)


def test_the_last_two_and_the_best_are_kept(tmp_path: Path):
    kept, said = Checkpoints(tmp_path / "arm"), list[float]()
    for success in (0.1, 0.9, 0.5, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2):
        said.append(success)
        kept.save(TENSORS, history(*said))
    # After the second iteration the mean was 0.5, and so it was after the third.
    assert sorted(file.name for file in kept.folder.iterdir()) == [
        f"iteration-{number:05d}.safetensors" for number in (3, 8, 9)
    ]
    tensors, again = kept.latest()
    assert again["history"] == history(*said)
    assert torch.equal(tensors["master/a"], TENSORS["master/a"])


def test_a_broken_checkpoint_gives_way_to_the_one_before(tmp_path: Path):
    said: list[str] = []
    kept = Checkpoints(tmp_path / "arm", said.append)
    assert kept.latest() == ({}, {"history": []})
    for count in (1, 2):
        kept.save(TENSORS, history(*[0.5] * count))
    files = sorted(kept.folder.iterdir())
    files[1].write_bytes(files[1].read_bytes()[:-1])
    assert len(kept.latest()[1]["history"]) == 1
    assert len(said) == 1
    assert "iteration-00002" in said[0]
    files[0].write_bytes(b"")
    assert kept.latest() == ({}, {"history": []})
    # It goes on all the same.
    kept.save(TENSORS, history(0.5))
    assert len(kept.latest()[1]["history"]) == 1


def test_files_that_were_passed_over_do_not_count_as_kept(tmp_path: Path):
    """The arm goes on from before them, and again has two to go on from."""
    kept = Checkpoints(tmp_path / "arm")
    for count in range(1, 6):
        kept.save(TENSORS, history(*[0.9, 0.5, 0.4, 0.3, 0.2][:count]))
    kept.save(TENSORS, history(0.9, 0.5))
    for number in (4, 5):
        (kept.folder / f"iteration-{number:05d}.safetensors").write_bytes(b"cut")
    assert len(kept.latest()[1]["history"]) == 2
    kept.save(TENSORS, history(0.9, 0.5, 0.5))
    assert numbers(kept) == [1, 2, 3]
    assert len(kept.latest()[1]["history"]) == 3
    # None is whole: it begins again, and keeps what it writes.
    for file in kept.folder.iterdir():
        file.write_bytes(b"cut")
    assert kept.latest()[1]["history"] == []
    kept.save(TENSORS, [])
    assert numbers(kept) == [0]


def test_one_that_may_have_to_be_gone_back_to_is_kept(tmp_path: Path):
    kept = Checkpoints(tmp_path / "arm")
    for count in range(6):
        kept.save({"at": torch.tensor(float(count))}, history(*[0.1 * number for number in range(count)]), 2)
    assert numbers(kept) == [2, 4, 5]
    assert kept.latest({0, 1, 2, 3})[0]["at"] == 2
    assert kept.latest({4, 7})[0]["at"] == 4
    assert kept.latest({1}) == ({}, {"history": []})


def numbers(kept: Checkpoints) -> list[int]:
    """After which iterations there is a file."""
    return sorted(int(file.stem[-5:]) for file in kept.folder.iterdir())


def test_what_cannot_be_written_is_one_line_and_leaves_the_earlier_one(tmp_path: Path):
    kept = Checkpoints(tmp_path / "arm")
    kept.save(TENSORS, history(0.5))
    # A folder stands where the file would be written aside.
    (kept.folder / "iteration-00002.safetensors.part").mkdir()
    with pytest.raises(StorageError, match="cannot write the checkpoint") as refusal:
        kept.save(TENSORS, history(0.5, 0.5))
    assert "\n" not in str(refusal.value)
    assert len(kept.latest()[1]["history"]) == 1
