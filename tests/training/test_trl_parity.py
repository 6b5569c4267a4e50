"""Our loss and its gradient equal TRL's own, on the same rows, wherever both define it.

TRL's names: "bnpo" is the mean over tokens of a batch, "dapo" that over a whole update, "grpo" the mean over rows of
the mean over their tokens, "dr_grpo" the mean over rows of a sum divided by a constant.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from tests.agents.models import byte_tokenizer, model
from tests.training.rows import CPU, backward, near_the_model, random_rows, weigh
from training.batches import TrainingRow, micro_batches
from training.logprobs import sampled_logprobs
from training.loss import LossConfig

MODES = {
    "bnpo": "token_mean",
    "dapo": "token_mean",
    "grpo": "sequence_mean_token_mean",
    "dr_grpo": "sequence_mean_token_sum_norm",
}
LENGTH = 24


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """TRL's trainer around a random model. No telemetry: CI is set while it is made."""
    pytest.importorskip("trl", reason="TRL is not installed: pip install 'keystone-rl[trl]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        tokenizer = byte_tokenizer()
        tokenizer.pad_token = tokenizer.eos_token
        arguments = GRPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")),
            per_device_train_batch_size=8,
            num_generations=2,
            max_completion_length=LENGTH,
            epsilon=0.2,
            epsilon_high=0.28,
            # TRL weighs k3 with the probability ratio unless told not to; we keep GRPO's own.
            use_bias_correction_kl=False,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
        )
        yield GRPOTrainer(
            model=model(),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=arguments,
            train_dataset=Dataset.from_list([{"prompt": "You see"}] * 8),
            processing_class=tokenizer,
        )


def as_inputs(rows: list[TrainingRow], with_old: bool) -> dict[str, torch.Tensor]:
    """Rows as TRL keeps them: first prompts padded on the left, all after them on the right, with one value a token."""
    starts = [int(row.row.sampled.argmax()) for row in rows]
    longest_prompt = max(starts)
    longest_rest = max(len(row.row.tokens) - start for row, start in zip(rows, starts, strict=True))
    prompts = torch.zeros(len(rows), longest_prompt, dtype=torch.long)
    rests = torch.zeros(len(rows), longest_rest, dtype=torch.long)
    inputs = {
        "prompt_ids": prompts,
        "prompt_mask": torch.zeros_like(prompts),
        "completion_ids": rests,
        "completion_mask": torch.zeros_like(rests),
        "tool_mask": torch.zeros_like(rests),
        "num_items_in_batch": torch.tensor(sum(row.num_sampled for row in rows)),
    }
    columns = {"advantages": "advantages", "reference": "ref_per_token_logps"} | (
        {"old": "old_per_token_logps"} if with_old else {}
    )
    inputs |= {name: torch.zeros(len(rows), longest_rest) for name in columns.values()}
    for index, (row, start) in enumerate(zip(rows, starts, strict=True)):
        tokens, rest = torch.from_numpy(row.row.tokens), len(row.row.tokens) - start
        prompts[index, longest_prompt - start :] = tokens[:start]
        inputs["prompt_mask"][index, longest_prompt - start :] = 1
        rests[index, :rest] = tokens[start:]
        inputs["completion_mask"][index, :rest] = 1
        sampled = torch.from_numpy(row.row.sampled[start:])
        inputs["tool_mask"][index, :rest] = sampled.long()
        for ours, theirs in columns.items():
            inputs[theirs][index, :rest][sampled] = torch.from_numpy(getattr(row, ours))
    return inputs


def set_on_policy(policy: PreTrainedModel, rows: list[TrainingRow]) -> None:
    """Makes the model's own probabilities the sampled ones."""
    for row in rows:
        (batch,) = micro_batches([row], 1, CPU)
        with torch.no_grad():
            row.old = sampled_logprobs(policy, batch, 1.0)[0].numpy()


@pytest.mark.parametrize("kind", MODES)
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("with_old", [False, True], ids=["on_policy", "off_policy"])
def test_loss_and_gradient_equal_trl(trainer: Any, kind: str, beta: float, with_old: bool):
    rows = random_rows(8)
    near_the_model(model(), rows)
    ours = model()
    if not with_old:
        # TRL takes the present probabilities where it is given none.
        set_on_policy(ours, rows)
    weigh(rows, MODES[kind], LENGTH)
    loss, gradients, parts = backward(ours, rows, LossConfig(clip_low=0.2, clip_high=0.28, beta=beta))
    trainer.loss_type, trainer.beta = kind, beta
    trainer.model.load_state_dict(model().state_dict())
    trainer.model.eval()
    trainer.model.zero_grad(set_to_none=True)
    theirs = trainer.compute_loss(trainer.model, as_inputs(rows, with_old))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), abs=2e-6)
    for name, value in trainer.model.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad, atol=2e-6, rtol=1e-4, msg=name)
    assert max(float(gradient.abs().max()) for gradient in gradients.values()) > 1e-3
    assert (sum(part.clipped for part in parts) > 0) == with_old
    if beta:
        assert parts[0].reference_kl > 0.1


def test_the_entropy_bonus_equals_trls_where_both_are_means_over_tokens(trainer: Any):
    rows = random_rows(8)
    ours = model()
    near_the_model(ours, rows)
    weigh(rows, "token_mean")
    loss, gradients, _ = backward(ours, rows, LossConfig(clip_high=0.28, entropy_bonus=0.05))
    trainer.loss_type, trainer.beta = "bnpo", 0.0
    trainer.model.load_state_dict(model().state_dict())
    trainer.model.eval()
    trainer.model.zero_grad(set_to_none=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_entropy_bonus_enabled", True)
        patch.setattr(trainer, "entropy_coef", 0.05)
        theirs = trainer.compute_loss(trainer.model, as_inputs(rows, True))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), abs=2e-6)
    for name, value in trainer.model.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad, atol=2e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", ["grpo", "bnpo"])
def test_the_ratio_of_a_reply_equals_trls_on_rows_of_one_reply(trainer: Any, kind: str):
    rows = [row for row in random_rows(24) if row.row.turn[-1] == 0]
    assert len(rows) > 4
    ours = model()
    near_the_model(ours, rows)
    weigh(rows, MODES[kind], LENGTH)
    loss, gradients, parts = backward(ours, rows, LossConfig(clip_low=0.02, clip_high=0.03, ratio="sequence"))
    trainer.loss_type, trainer.beta = kind, 0.0
    trainer.model.load_state_dict(model().state_dict())
    trainer.model.eval()
    trainer.model.zero_grad(set_to_none=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "importance_sampling_level", "sequence")
        patch.setattr(trainer, "epsilon_low", 0.02)
        patch.setattr(trainer, "epsilon_high", 0.03)
        theirs = trainer.compute_loss(trainer.model, as_inputs(rows, True))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), abs=2e-6)
    for name, value in trainer.model.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad, atol=2e-6, rtol=1e-4, msg=name)
    assert sum(part.clipped for part in parts) > 0
