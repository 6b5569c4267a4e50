"""Deltas: bit for bit there and back, and every wrong or damaged one refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from agents import deltas
from agents.targets import Target, parameters
from envs.errors import InputError, StorageError
from tests.agents.models import model
from tests.small_disk import files_of_at_most

TARGET = Target((1,))


def contents(language_model: PreTrainedModel) -> dict[str, bytes]:
    """Every tensor's bytes."""
    return {
        name: value.detach().contiguous().view(torch.uint8).numpy().tobytes()
        for name, value in language_model.state_dict().items()
    }


def trained(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The model with its target changed."""
    language_model = model().to(dtype)
    with torch.no_grad():
        for value in parameters(language_model, TARGET).values():
            value += torch.randn(value.shape, generator=torch.Generator().manual_seed(1)).to(dtype) * 1e-2
    return language_model


def write(path: Path, dtype: torch.dtype = torch.float32) -> deltas.Card:
    base = deltas.base_fingerprint(model().to(dtype))
    tensors = parameters(trained(dtype), TARGET)
    return deltas.save(path, tensors, base_sha256=base, target=TARGET.name, details={"seed": 3})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_delta_gives_the_trained_policy_and_takes_it_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype):
    card = write(tmp_path / "delta.safetensors", dtype)
    base = model().to(dtype)
    before, wanted = contents(base), contents(trained(dtype))
    tensors, read = deltas.load(tmp_path / "delta.safetensors")
    assert read == card
    assert (read.target, read.details) == ("1", {"seed": 3})
    deltas.verify(base, tensors, read)
    originals = deltas.apply(base, tensors)
    assert contents(base) == wanted != before
    deltas.revert(base, originals)
    assert contents(base) == before
    assert not (tmp_path / "delta.safetensors.part").exists()


def test_reverting_does_not_depend_on_the_weights_that_were_saved_living_on():
    base = model()
    before = contents(base)
    originals = deltas.apply(base, dict(parameters(trained(), TARGET)))
    with torch.no_grad():
        for value in base.parameters():
            value.zero_()
    deltas.revert(base, originals)
    assert {name: contents(base)[name] for name in originals} == {name: before[name] for name in originals}


def test_equal_deltas_are_equal_files(tmp_path: Path):
    for number in range(12):
        write(tmp_path / str(number))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_the_fingerprint_sees_every_bit_name_dtype_and_shape():
    tensors = {"a": torch.arange(6.0), "b": torch.zeros(2, dtype=torch.bfloat16)}
    whole = deltas.fingerprint(tensors)
    assert deltas.fingerprint(dict(reversed(tensors.items()))) == whole
    flipped = tensors["a"].clone()
    flipped.view(torch.int32)[3] ^= 1
    others = [
        {**tensors, "a": flipped},
        {**tensors, "a": tensors["a"].reshape(2, 3)},
        {**tensors, "b": torch.zeros(2, dtype=torch.float16)},
        {"a": tensors["a"], "c": tensors["b"]},
        {"a": tensors["a"]},
        {**tensors, "b": -tensors["b"]},
    ]
    assert len({whole, *map(deltas.fingerprint, others)}) == 1 + len(others)


def refused(language_model: PreTrainedModel, path: Path) -> str:
    with pytest.raises(InputError) as refusal:
        deltas.verify(language_model, *deltas.load(path))
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_another_base_is_refused(tmp_path: Path):
    path = tmp_path / "delta.safetensors"
    card = write(path)
    assert f"made for base {card.base_sha256[:12]}" in refused(model(seed=1), path)
    # One bit, in a block that the delta does not touch.
    base = model()
    base.model.layers[2].mlp.up_proj.weight.data.view(torch.int32)[0, 0] ^= 1
    assert "made for base" in refused(base, path)
    # The base with the delta already on it is no base either.
    assert "made for base" in refused(trained(), path)


def test_another_shape_dtype_or_name_is_refused(tmp_path: Path):
    path = tmp_path / "delta.safetensors"
    name, value = next(iter(parameters(model(), TARGET).items()))
    base = deltas.base_fingerprint(model())
    for tensors, words in (
        ({name: value[:-1]}, f"the delta's {name!r} is"),
        # A shape that copying would stretch without a word.
        ({name: value[:1]}, f"the delta's {name!r} is"),
        ({name: value.to(torch.bfloat16)}, "torch.bfloat16, the model's is"),
        ({"model.layers.7.weight": value}, "'model.layers.7.weight', which this model does not have"),
    ):
        deltas.save(path, tensors, base_sha256=base, target="1", details={})
        assert words in refused(model(), path)


@pytest.mark.parametrize("kept", [0, 5, 60, 400, -1])
def test_a_cut_file_is_refused(tmp_path: Path, kept: int):
    path = tmp_path / "delta.safetensors"
    write(path)
    path.write_bytes(path.read_bytes()[:kept])
    assert "not a readable delta file" in refused(model(), path)


def test_an_altered_tensor_is_refused(tmp_path: Path):
    path = tmp_path / "delta.safetensors"
    write(path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert "do not match its checksum" in refused(model(), path)


def test_what_is_no_delta_is_refused(tmp_path: Path):
    path = tmp_path / "delta.safetensors"
    assert "no such file" in refused(model(), path)
    assert "is a folder; a delta is one file" in refused(model(), tmp_path)
    path.write_text("words, no tensors")
    assert "not a readable delta file" in refused(model(), path)
    save_file({"a": torch.zeros(2)}, str(path))
    assert "not a keystone-delta-1 file" in refused(model(), path)
    for card in ("{", "[1]", '{"target": "1"}'):
        save_file({"a": torch.zeros(2)}, str(path), metadata={deltas.FORMAT: card})
        assert "not a readable delta file" in refused(model(), path)


def test_a_delta_that_the_disk_refuses_is_one_line_and_the_one_before_stays(tmp_path: Path):
    path = tmp_path / "delta.safetensors"
    write(path)
    before = path.read_bytes()
    with files_of_at_most(4000), pytest.raises(StorageError, match=rf"^cannot write {path}: .*File too large[^\n]*$"):
        write(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before
    with pytest.raises(StorageError, match=r"^cannot write .*below/delta\.safetensors: Not a directory\.$"):
        write(path / "below" / "delta.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"^cannot write .*folder: Is a directory\.$"):
        write(tmp_path / "folder")
    assert not (tmp_path / "folder.part").exists()
