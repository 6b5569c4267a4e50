"""Composed deltas, differences between deltas, and many deltas on one base: exact, whatever the order."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from agents import deltas
from agents.delta_bank import BASE, DeltaBank, DeltaPolicy
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.rollout import rollout
from agents.targets import Target, parameters
from agents.types import EpisodeKey
from envs.errors import InputError
from tests.agents.families import PATHS, build
from tests.agents.models import Corridor, byte_tokenizer, model


def moved(language_model: PreTrainedModel, block: int, scale: float = 0.1) -> dict[str, torch.Tensor]:
    """A block's tensors, somewhere else."""
    draw = torch.Generator().manual_seed(block)
    own = parameters(language_model, Target((block,)))
    return {name: value.detach() + scale * torch.randn(value.shape, generator=draw) for name, value in own.items()}


def write(path: Path, language_model: PreTrainedModel, block: int) -> Path:
    base = deltas.base_fingerprint(language_model)
    deltas.save(path, moved(language_model, block), base_sha256=base, target=str(block), details={})
    return path


@pytest.mark.parametrize("family", PATHS)
def test_deltas_of_two_blocks_compose_in_either_order_to_the_same_bytes(family: str, tmp_path: Path):
    base = build(family, 3)
    parts = [deltas.load(write(tmp_path / f"{block}.safetensors", base, block)) for block in (0, 2)]
    for number, order in enumerate((parts, parts[::-1])):
        tensors, card = deltas.compose(order)
        assert card.target == "0 + 2"
        file = tmp_path / f"both-{number}.safetensors"
        deltas.save(file, tensors, base_sha256=card.base_sha256, target=card.target, details=card.details)
    assert (tmp_path / "both-0.safetensors").read_bytes() == (tmp_path / "both-1.safetensors").read_bytes()
    before = deltas.base_fingerprint(base)
    originals = deltas.apply(base, deltas.load(tmp_path / "both-0.safetensors")[0])
    together = deltas.base_fingerprint(base)
    deltas.revert(base, originals)
    assert deltas.base_fingerprint(base) == before
    for order in (parts, parts[::-1]):
        undo = [deltas.apply(base, tensors) for tensors, _ in order]
        assert deltas.base_fingerprint(base) == together
        for originals in reversed(undo):
            deltas.revert(base, originals)
    assert deltas.base_fingerprint(base) == before


def test_what_does_not_go_together_is_refused(tmp_path: Path):
    one = deltas.load(write(tmp_path / "1.safetensors", model(), 1))
    with pytest.raises(InputError, match=r"delta 1 changes .* and so does another one"):
        deltas.compose([one, one])
    other = deltas.load(write(tmp_path / "2.safetensors", model(seed=5), 2))
    with pytest.raises(InputError, match="deltas of different bases cannot be composed"):
        deltas.compose([one, other])
    with pytest.raises(InputError, match="needs two deltas or more, got 1"):
        deltas.compose([one])


def test_differences_are_told_tensor_by_tensor():
    first = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([3.0, 4.0]), "only": torch.ones(1)}
    second = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([0.0, 4.0]), "z": torch.zeros(1)}
    same, other = deltas.diff(first, second)
    assert same == deltas.Change("a", 3, 0, 0.0, 0.0)
    assert other == deltas.Change("b", 2, 1, 3.0, 0.75)
    (from_nothing,) = deltas.diff({"a": torch.ones(2)}, {"a": torch.zeros(2)})
    assert from_nothing.relative == math.inf
    with pytest.raises(InputError, match=r"'a' is \(2,\) in one and \(3,\) in the other"):
        deltas.diff({"a": torch.ones(2)}, {"a": torch.ones(3)})


def test_switching_gives_each_delta_exactly_and_always_the_base_back(tmp_path: Path):
    language_model = model()
    before = deltas.base_fingerprint(language_model)
    bank = DeltaBank(language_model)
    expected = {BASE: before}
    for block in (0, 1, 2):
        name = f"block {block}"
        bank.add(name, write(tmp_path / f"{block}.safetensors", model(), block))
        applied = model()
        deltas.apply(applied, deltas.load(tmp_path / f"{block}.safetensors")[0])
        expected[name] = deltas.base_fingerprint(applied)
    assert bank.names == list(expected)
    assert len(set(expected.values())) == 4
    for name in ("block 2", "block 0", BASE, "block 1", "block 0", "block 2"):
        bank.use(name)
        assert deltas.base_fingerprint(language_model) == expected[name]
        assert bank.result_sha256("block 1") == expected["block 1"]
        assert bank.active == name
    bank.use(BASE)
    assert deltas.base_fingerprint(language_model) == before
    with pytest.raises(RuntimeError), bank.using("block 1"):
        raise RuntimeError
    assert bank.active == BASE


def test_a_bank_refuses_what_does_not_fit(tmp_path: Path):
    bank = DeltaBank(model())
    bank.add("one", write(tmp_path / "1.safetensors", model(), 1))
    with pytest.raises(InputError, match="there is a delta 'one' already"):
        bank.add("one", tmp_path / "1.safetensors")
    with pytest.raises(InputError, match="was made for base"):
        bank.add("other", write(tmp_path / "2.safetensors", model(seed=5), 2))
    tensors, card = deltas.load(tmp_path / "1.safetensors")
    short = {name: value.bfloat16() for name, value in tensors.items()}
    with pytest.raises(InputError, match=r"torch\.bfloat16, the model's is .* torch\.float32"):
        bank.put("short", short, card)
    with pytest.raises(InputError, match=r"unknown delta 'onee'\. Did you mean 'one'"):
        bank.use("onee")


def test_policies_of_one_bank_play_as_they_would_alone(tmp_path: Path):
    files = [write(tmp_path / f"{block}.safetensors", model(), block) for block in (0, 2)]
    keys = [EpisodeKey(0, 0, f"walk:{number}", 0) for number in range(4)]

    def policy(language_model: PreTrainedModel) -> TransformersPolicy:
        return TransformersPolicy(language_model, byte_tokenizer(), Sampling(1.0, 5))

    shared = model()
    bank = DeltaBank(shared)
    for file in files:
        bank.add(file.stem, file)
    for name in ("0", "2", "0"):
        alone = model()
        deltas.apply(alone, deltas.load(tmp_path / f"{name}.safetensors")[0])
        wanted = rollout(Corridor, policy(alone), keys)
        found = rollout(Corridor, DeltaPolicy(policy(shared), bank, name), keys)
        assert [[turn.tokens for turn in episode.turns] for episode in found] == [
            [turn.tokens for turn in episode.turns] for episode in wanted
        ]
    # Two conversations with different deltas, turn by turn in turns.
    sessions = {name: DeltaPolicy(policy(shared), bank, name).open(keys[:1], None) for name in ("0", "2")}
    info = Corridor().reset(options={"task": "walk:0"})[1]
    said = {name: [] for name in sessions}
    for observation in ("You are in a room .", "You see a key .", "Nothing happens ."):
        for name, session in sessions.items():
            said[name].append(session.reply([0], [observation], [info])[0].text)
    for name in sessions:
        bank.use(name)
        session = policy(shared).open(keys[:1], None)
        texts = ("You are in a room .", "You see a key .", "Nothing happens .")
        assert [session.reply([0], [text], [info])[0].text for text in texts] == said[name]
