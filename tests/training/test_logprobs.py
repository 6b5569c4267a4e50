"""Log-probabilities in chunks against all logits at once, with and without a frozen head."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedModel

from agents.prefix import FrozenPrefix
from agents.targets import Target, full, select
from tests.agents.families import PATHS, build
from tests.training.rows import CPU, random_rows
from training import logprobs
from training.batches import MicroBatch, micro_batches
from training.checkpointing import checkpointed
from training.logprobs import sampled_logprobs

VOCABULARY = 50
TARGET = Target((2,))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Chunks of three positions; the sizes of the logits that were made."""
    made: list[int] = []
    original = logprobs.linear

    def noted(*inputs: torch.Tensor) -> torch.Tensor:
        made.append((output := original(*inputs)).numel())
        return output

    monkeypatch.setattr(logprobs, "CHUNK_LOGITS", 3 * VOCABULARY)
    monkeypatch.setattr(logprobs, "linear", noted)
    return made


def batch() -> MicroBatch:
    (found,) = micro_batches(random_rows(6, vocabulary=VOCABULARY), 10**6, CPU)
    return found


def at_once(model: PreTrainedModel, given: MicroBatch, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    logits = model(input_ids=given.tokens_BT, use_cache=False).logits[given.predicts_BT].float() / temperature
    distribution = torch.distributions.Categorical(logits=logits)
    return distribution.log_prob(given.targets_S), distribution.entropy()


def gradients(model: PreTrainedModel, value: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    value.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("trained", ["block", "full"])
@pytest.mark.parametrize("family", sorted(PATHS))
def test_chunks_give_what_all_logits_give(family: str, trained: str, small_chunks: list[int]):
    model, given = build(family, 4), batch()
    select(model, TARGET if trained == "block" else full(4))
    slopes = torch.linspace(-1, 1, len(given.targets_S))
    expected, entropy = at_once(model, given, 0.7)
    wanted = gradients(model, (slopes * expected).sum())
    small_chunks.clear()
    found, entropies = sampled_logprobs(model, given, 0.7)
    got = gradients(model, (slopes * found).sum())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropies, entropy, rtol=1e-5, atol=1e-5)
    assert not entropies.requires_grad
    assert got.keys() == wanted.keys()
    for name, value in got.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-4, atol=1e-6)
    assert max(small_chunks) == 3 * VOCABULARY
    # A frozen head is not run again for its gradient.
    assert len(small_chunks) == -(-len(given.targets_S) // 3) * (1 if trained == "block" else 2)


def test_entropies_carry_a_gradient_when_asked(small_chunks: list[int]):
    model, given = build("qwen3", 4), batch()
    select(model, TARGET)
    wanted = gradients(model, at_once(model, given, 1.3)[1].sum())
    got = gradients(model, sampled_logprobs(model, given, 1.3, entropy_gradient=True)[1].sum())
    for name, value in got.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-4, atol=1e-6)
    assert max(small_chunks) == 3 * VOCABULARY


def test_logits_that_are_shaped_after_the_head_take_the_plain_path(small_chunks: list[int]):
    torch.manual_seed(0)
    config = Gemma2Config(
        **{"vocab_size": VOCABULARY, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 4},
        **{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "initializer_range": 0.5},
        final_logit_softcapping=1.0,
        attn_implementation="eager",
    )
    model, given = Gemma2ForCausalLM(config).eval(), batch()
    select(model, TARGET)
    found, _ = sampled_logprobs(model, given, 1.0)
    torch.testing.assert_close(found, at_once(model, given, 1.0)[0], rtol=1e-5, atol=1e-5)
    assert not small_chunks


def test_bfloat16_keeps_the_gradient_within_its_precision(small_chunks: list[int]):
    model, given = build("qwen3", 4).to(torch.bfloat16), batch()
    select(model, TARGET)
    slopes = torch.linspace(-1, 1, len(given.targets_S))
    wanted = gradients(model, (slopes * at_once(model, given, 1.0)[0]).sum())
    got = gradients(model, (slopes * sampled_logprobs(model, given, 1.0)[0]).sum())
    for name, value in got.items():
        assert value.dtype == torch.bfloat16
        error = (value.float() - wanted[name].float()).norm() / wanted[name].float().norm()
        assert error < 0.02


def test_no_sampled_token_is_no_error():
    model, given = build("qwen3", 4), batch()
    given.predicts_BT.zero_()
    given.targets_S = given.targets_S[:0]
    select(model, TARGET)
    found, entropies = sampled_logprobs(model, given, 1.0)
    assert found.shape == entropies.shape == (0,)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_kept_prefix_changes_neither_values_nor_gradients(checkpointing: bool, dtype: torch.dtype):
    model, given = build("qwen3", 4).to(dtype), batch()
    select(model, TARGET)
    prefix = FrozenPrefix(model, TARGET)

    def both(kept: FrozenPrefix | None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        found, _ = sampled_logprobs(model, given, 1.0, prefix=kept)
        return found.detach(), gradients(model, found.sum())

    plain, wanted = both(None)
    for _ in range(2):
        if checkpointing:
            with checkpointed(model, TARGET):
                found, got = both(prefix)
        else:
            found, got = both(prefix)
        assert torch.equal(found, plain)
        assert all(torch.equal(value, wanted[name]) for name, value in got.items())
    assert prefix.counts.hits == prefix.counts.misses == 6
