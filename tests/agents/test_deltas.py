"""Deltas: bit for bit there and back, and every wrong or damaged one refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from agents import deltas
from agents.targets import Target, full, parameters
from envs.errors import InputError, StorageError
from tests.agents.families import build
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
        write(tmp_path / str(number) / "delta.safetensors")
    for name in ("delta.safetensors", "delta.md"):
        assert len({path.read_bytes() for path in tmp_path.glob(f"*/{name}")}) == 1


def test_a_card_lies_beside_the_file_and_says_what_the_file_says(tmp_path: Path):
    card = write(tmp_path / "delta.safetensors")
    count = sum(value.numel() for value in parameters(model(), TARGET).values())
    said = (tmp_path / "delta.md").read_text()
    for part in (
        "# Delta of layer 1\n",
        f"weights sha256 `{card.base_sha256}`",
        f"`delta.safetensors`, tensors sha256 `{card.tensors_sha256}`",
        f"{count:,} parameters, float32",
        "**seed**: 3",
        "python -m evals.run policy=BASE delta=delta.safetensors",
    ):
        assert part in said
    # Another ending is kept, so that nothing else of that name is written over.
    write(tmp_path / "delta")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["delta", "delta.md", "delta.safetensors"]


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
    line = str(refusal.value)
    assert "\n" not in line
    if "made for base" in line or "the delta" in line:
        # Applying it with its card refuses it too, and writes nothing.
        before = contents(language_model)
        with pytest.raises(InputError) as refusal:
            deltas.apply(language_model, *deltas.load(path))
        assert (str(refusal.value), contents(language_model)) == (line, before)
    return line


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


def test_applying_without_a_card_casts_and_stretches_nothing():
    base = model()
    before, (name, value) = contents(base), next(iter(parameters(model(), TARGET).items()))
    for tensors in ({name: value.to(torch.bfloat16)}, {name: value[:1]}, {name: value + 1, "elsewhere": value}):
        with pytest.raises(InputError, match="the delta"):
            deltas.apply(base, tensors)
        assert contents(base) == before


def test_the_delta_of_everything_of_a_model_with_a_tied_head_comes_back(tmp_path: Path):
    base, changed, target = build("gemma", 3), build("gemma", 3), full(3)
    assert base.config.tie_word_embeddings
    before, sha256, path = contents(base), deltas.base_fingerprint(base), tmp_path / "delta.safetensors"
    own = parameters(changed, target)
    # One tensor under one name, which changes the embedding and the head.
    assert {id(value) for value in own.values()} == {id(value) for value in changed.parameters()}
    assert "lm_head.weight" not in own
    with torch.no_grad():
        for value in own.values():
            value += 0.01
    deltas.save(path, own, base_sha256=sha256, target=target.name, details={})
    tensors, card = deltas.load(path)
    originals = deltas.apply(base, tensors, card)
    assert contents(base) == contents(changed)
    assert contents(base)["lm_head.weight"] != before["lm_head.weight"]
    assert base.get_output_embeddings().weight is base.get_input_embeddings().weight
    deltas.revert(base, originals)
    assert contents(base) == before


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
    assert sorted(file.name for file in tmp_path.iterdir()) == ["delta.md", path.name]
    assert path.read_bytes() == before
    with pytest.raises(StorageError, match=r"^cannot write .*below/delta\.safetensors: Not a directory\.$"):
        write(path / "below" / "delta.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"^cannot write .*folder: Is a directory\.$"):
        write(tmp_path / "folder")
    assert not (tmp_path / "folder.part").exists()
