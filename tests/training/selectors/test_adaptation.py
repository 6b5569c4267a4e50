"""Selectors that need no reward: what they predict, and the blocks that they find."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from agents.blocks import find_stack
from tests.agents.families import build
from tests.training.guessing import small_model
from tests.training.rows import CPU, random_rows
from training import prediction
from training.batches import TrainingRow, by_episode, micro_batches
from training.selectors import Probe, adaptation, removal, rows_of


def probe(rows: list[TrainingRow], blocks: int = 4, tokens: int = 10**6) -> Probe:
    groups = by_episode(rows)
    return Probe(small_model(blocks), blocks, lambda: groups, CPU, 0.7, tokens, 0)


def test_only_what_the_world_says_is_predicted():
    given = probe(random_rows(5))
    for row in itertools.chain.from_iterable(map(rows_of, given.groups())):
        (batch,) = micro_batches([row], 10**6, CPU)
        found = prediction.world_loss(given, batch)
        tokens = torch.from_numpy(row.row.tokens)
        logprobs = given.model(tokens[None]).logits[0].log_softmax(-1)
        wanted = [-logprobs[at - 1, tokens[at]] for at in range(1, len(tokens)) if not row.row.sampled[at]]
        torch.testing.assert_close(found, torch.stack(wanted), atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing_and_long_batches_are_thinned(monkeypatch: pytest.MonkeyPatch):
    rows = random_rows(6)
    given = probe(rows)
    (together,) = micro_batches(rows, 10**6, CPU)
    apart = torch.cat([prediction.world_loss(given, batch) for batch in micro_batches(rows, 1, CPU)])
    whole = prediction.world_loss(given, together)
    torch.testing.assert_close(whole, apart, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(prediction, "MOST_LOGITS", 50 * given.model.config.vocab_size)
    step = -(-len(whole) // 50)
    torch.testing.assert_close(prediction.world_loss(given, together), whole[::step])


def test_a_score_is_what_unseen_groups_gain_at_the_best_look(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adaptation, "LOOKS", (1, 2, 3))
    rows = random_rows(16)
    given = probe(rows)
    kept: dict[str, list[float]] = {}

    def memo(name: str, compute):
        kept[name] = compute()
        return kept[name]

    given.memo = memo
    choice = adaptation.select(given)
    before = kept["adaptation: before"]
    for block in choice.blocks:
        looks = np.array(kept[f"adaptation at 1, 2, 3: block {block.index}"]).reshape(3, len(before))
        assert block.score == pytest.approx(np.mean(before) - min(looks.mean(1)[1:]))
        assert block.details["first_update"] == pytest.approx(np.mean(before) - looks.mean(1)[0])
    assert given.learned_episodes == dict.fromkeys(range(4), adaptation.EPISODES * 3)


def test_a_block_that_alone_can_mend_the_prediction_is_found():
    """The world always says the same token, which only the last block, the others switched off, can learn to expect."""
    rows = random_rows(32)
    for row in rows:
        row.row.tokens[~row.row.sampled] = 7
    given = probe(rows)
    for block in given.model.model.layers[:3]:
        for name, value in block.named_parameters():
            if name.startswith(("self_attn.v_proj", "mlp.up_proj", "self_attn.o_proj", "mlp.down_proj")):
                # Both factors at zero: there is no gradient to begin with.
                value.data.zero_()
    choice = adaptation.select(given)
    assert choice.indices == (3,)
    assert "block 3 learns best to predict the world, clearly above every other block" in choice.why
    assert [block.score == pytest.approx(0.0, abs=1e-6) for block in choice.blocks] == [True, True, True, False]


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "gpt_neox", "phi", "gemma"])
def test_a_block_that_is_passed_over_might_as_well_not_be_there(family: str):
    model, tokens = build(family, 3), torch.tensor([[3, 1, 4, 1, 5]])
    stack = find_stack(model)
    with torch.no_grad():
        whole = model(input_ids=tokens).logits
        with prediction.passed_over(stack.modules[1]):
            without = model(input_ids=tokens, use_cache=False).logits
        kept = [stack.modules[0], stack.modules[2]]
        seen: list[torch.Tensor] = []
        for block in kept:
            block.register_forward_pre_hook(
                lambda _module, inputs, options, seen=seen: seen.append((inputs or (options["hidden_states"],))[0]),
                with_kwargs=True,
            )
        with prediction.passed_over(stack.modules[1]):
            outputs = []
            kept[0].register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
            model(input_ids=tokens, use_cache=False)
    first = outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]
    assert torch.equal(seen[1], first)
    assert not torch.allclose(whole, without)


def test_a_block_that_does_harm_is_missed_least():
    """The others learn what the world says while it is passed over; then it comes back, as it was at random."""
    rows = random_rows(24)
    for row in rows:
        row.row.tokens[~row.row.sampled] = 7
    given = probe(rows)
    blocks = given.model.model.layers
    optimizer = torch.optim.Adam([value for index in (0, 1, 3) for value in blocks[index].parameters()], lr=1e-2)
    (batch,) = micro_batches(rows[:8], 10**6, CPU)
    with prediction.passed_over(blocks[2]):
        for _ in range(30):
            optimizer.zero_grad()
            prediction.world_loss(given, batch).mean().backward()
            optimizer.step()
    with torch.no_grad():
        for value in blocks[2].parameters():
            value.mul_(4.0)
    choice = removal.select(given)
    scores = [block.score for block in choice.blocks]
    assert np.argmax(scores) == 2
    assert scores[2] > 0
