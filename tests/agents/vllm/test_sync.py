"""One-layer sync on a real engine: exactly the target travels, and whatever goes wrong is seen before sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from agents.policies.synced import SyncError
from agents.policies.vllm.weights import SyncedWeights
from agents.targets import Target, parameters, parse
from tests.agents.vllm.tiny import tiny_model

if TYPE_CHECKING:
    from agents.policies.vllm.engine import Receipt
    from agents.policies.vllm.local import LocalEngine

PROMPT = list(range(7, 39))


def target_of(layer: str) -> Target:
    target = parse(layer, 4)
    assert target is not None
    return target


def own_score(model: PreTrainedModel) -> np.ndarray:
    with torch.no_grad():
        logprobs = model(torch.tensor([PROMPT])).logits[0].log_softmax(-1)
    return logprobs[:-1].gather(1, torch.tensor(PROMPT[1:])[:, None])[:, 0].numpy()


@torch.no_grad()
def train(model: PreTrainedModel, layer: str, step: float = 0.02) -> dict[str, torch.Tensor]:
    """Changes a target as an optimizer would; returns its tensors."""
    generator = torch.Generator().manual_seed(1)
    chosen = dict(parameters(model, target_of(layer)))
    for value in chosen.values():
        value.add_(torch.randn(value.shape, generator=generator), alpha=step)
    return chosen


def held(engine: LocalEngine, tied: bool = False) -> SyncedWeights:
    weights = SyncedWeights(tiny_model(3), engine)
    weights.refresh()
    return weights


def test_an_engine_starts_with_all_of_the_models_weights(engine: LocalEngine):
    model = tiny_model(5)
    weights = SyncedWeights(model, engine)
    report = weights.refresh()
    assert report is not None
    assert report.bytes == sum(value.numel() * 4 for value in model.parameters())
    assert report.read_back == len(list(model.parameters()))
    assert report.gap < 1e-4
    np.testing.assert_allclose(engine.score(PROMPT), own_score(model), atol=1e-4)
    assert weights.refresh() is None


@pytest.mark.parametrize("layer", ["1", "0,2", "3.mlp", "2.attention", "full"])
def test_a_sync_moves_the_target_and_changes_the_engine_as_the_trainer_says(engine: LocalEngine, layer: str):
    weights = held(engine)
    before, own_before = np.array(engine.score(PROMPT)), own_score(weights.model)
    chosen = train(weights.model, layer)
    report = weights.sync(chosen, 1)
    assert report.bytes == sum(value.numel() * value.element_size() for value in chosen.values())
    assert report.read_back == len(chosen)
    assert report.moved > 1e-2
    assert report.moved_there == pytest.approx(report.moved, rel=1e-3)
    after, own_after = np.array(engine.score(PROMPT)), own_score(weights.model)
    assert np.abs(own_after - own_before).max() > 0.1
    np.testing.assert_allclose(after - before, own_after - own_before, atol=1e-4)
    weights.check()


def test_a_sync_leaves_no_other_tensor_changed(engine: LocalEngine):
    weights = held(engine)
    names = [name for name, _ in weights.model.named_parameters()]
    before = engine.digests(names)
    chosen = train(weights.model, "2")
    weights.sync(chosen, 1)
    after = engine.digests(names)
    assert {name for name in names if after[name] != before[name]} == set(chosen)
    assert "" not in after.values()


def test_many_syncs_follow_one_another(engine: LocalEngine):
    weights = held(engine)
    for version in range(1, 6):
        weights.sync(train(weights.model, "1", 1e-4), version)
        np.testing.assert_allclose(engine.score(PROMPT), own_score(weights.model), atol=1e-4)
    assert weights.version == 5


def test_refreshing_sends_only_what_changed(engine: LocalEngine):
    weights = held(engine)
    chosen = train(weights.model, "3")
    report = weights.refresh()
    assert report is not None
    assert report.bytes == sum(value.numel() * 4 for value in chosen.values())


def test_refreshing_sends_what_the_engine_fuses_with_what_changed(engine: LocalEngine):
    weights = held(engine)
    with torch.no_grad():
        weights.model.get_parameter("model.layers.2.mlp.up_proj.weight").mul_(1.1)
    report = weights.refresh()
    assert report is not None
    assert report.bytes == 3 * 64 * 96 * 4


def test_half_of_a_fused_layer_is_refused(engine: LocalEngine):
    weights = held(engine)
    name = "model.layers.2.mlp.up_proj.weight"
    with torch.no_grad():
        weights.model.get_parameter(name).mul_(1.1)
    with pytest.raises(SyncError, match="the engine gives the probe other log-probabilities"):
        weights.sync({name: weights.model.get_parameter(name)}, 1)


def test_a_skipped_sync_is_noticed(engine: LocalEngine):
    weights = held(engine)
    weights.check()
    train(weights.model, "1", 1e-7)
    with pytest.raises(SyncError, match=r"11 tensors of the model, for example model\.layers\.1\..* since"):
        weights.check()


def test_an_engine_that_was_changed_by_others_is_noticed(engine: LocalEngine):
    weights = held(engine)
    other = SyncedWeights(tiny_model(9), engine)
    other.refresh()
    other.check()
    with pytest.raises(SyncError, match="the engine is at weights"):
        weights.check()


def test_a_change_beside_the_target_is_noticed(engine: LocalEngine):
    weights = held(engine)
    train(weights.model, "2", 1e-7)
    with pytest.raises(SyncError, match=r"11 tensors of the model, for example model\.layers\.2\."):
        weights.sync(train(weights.model, "1"), 1)
    weights.refresh()
    weights.check()


class Faulty:
    """A real engine behind a road that loses or changes something."""

    def __init__(self, engine: LocalEngine, fault: str) -> None:
        self._engine, self.fault = engine, fault
        self.max_context = engine.max_context

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def send(self, tensors: Mapping[str, torch.Tensor], version: str) -> Receipt:
        from agents.policies.vllm.engine import Receipt

        names = list(tensors)
        if self.fault == "nothing is sent":
            return self._engine.send({}, version)
        if self.fault == "nothing is sent, and a receipt is forged":
            self._engine.send({}, version)
            from agents.policies.vllm.digests import digest, size

            return Receipt(sum(map(size, tensors.values())), {name: digest(tensors[name]) for name in names})
        if self.fault == "a tensor is lost":
            return self._engine.send({name: tensors[name] for name in names[1:]}, version)
        if self.fault == "a bit is flipped":
            wrong = tensors[names[-1]].detach().clone()
            wrong.view(torch.int32).view(-1)[0] ^= 1
            return self._engine.send({**tensors, names[-1]: wrong}, version)
        if self.fault == "another version":
            return self._engine.send(tensors, "something else")
        return self._engine.send(tensors, version)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nothing is sent", "received 0 bytes of the target's"),
        ("nothing is sent, and a receipt is forged", r"\d+ of 11 tensors that the engine loaded are not the trainer's"),
        ("a tensor is lost", "bytes of the target's"),
        ("a bit is flipped", "1 of 11 tensors that the engine received are not the trainer's"),
        ("another version", "the engine is at weights 'something else'"),
    ],
)
def test_a_faulty_sync_is_refused_and_nothing_can_be_sampled_until_one_succeeds(
    engine: LocalEngine, fault: str, words: str
):
    weights = held(engine)
    faulty = Faulty(engine, fault)
    weights.engine = faulty  # type: ignore[assignment]
    chosen = train(weights.model, "1")
    with pytest.raises(SyncError, match=words):
        weights.sync(chosen, 1)
    with pytest.raises(SyncError):
        weights.check()
    faulty.fault = ""
    weights.sync(chosen, 2)
    weights.check()


def test_the_probe_alone_notices_old_weights(engine: LocalEngine):
    """Also where nothing can be read back and the receipt is right."""

    class Blind(Faulty):
        def digests(self, names: list[str]) -> dict[str, str]:
            return dict.fromkeys(names, "")

    weights = held(engine)
    weights.engine = Blind(engine, "nothing is sent, and a receipt is forged")  # type: ignore[assignment]
    with pytest.raises(SyncError, match="the engine gives the probe other log-probabilities"):
        weights.sync(train(weights.model, "1"), 1)
