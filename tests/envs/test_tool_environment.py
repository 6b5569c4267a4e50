"""Worlds as TRL's `environment_factory`: what it returns, and TRL's own trainer playing with it."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from envs.errors import InputError
from envs.tool_environment import environment_factory, task_rows
from tests.agents.models import byte_tokenizer

WORLD = "tests.envs.corridor:Corridor"
CALL = '<tool_call>\n{"name": "play", "arguments": {"command": "go right"}}\n</tool_call>'


def test_an_episode_by_tool_calls():
    env = pickle.loads(pickle.dumps(environment_factory(WORLD, length=2)))()
    assert env.play("go right") == "The episode is over."
    assert env.reset(task="train-0", prompt="any") == "You are in room 0.\n\nAdmissible commands: go right"
    assert env.play("go right").startswith("You are in room 1.")
    assert env.get_reward() == 0
    assert env.play("go right") == "You are in room 2.\n\nThe episode is over."
    assert env.play("go right") == "The episode is over."
    assert env.get_reward() == 1
    env.reset(task="train-1")
    assert env.get_reward() == 0


def test_free_text_is_answered():
    env = environment_factory("tests.envs.test_contract:Sums")()
    assert env.reset(task="train-0") == "You are in room 0."
    assert env.answer("I think\nright") == "You are in room 1."


def test_only_the_tool_is_public():
    for world, tool in ((WORLD, "play"), ("tests.envs.test_contract:Sums", "answer")):
        kind = type(environment_factory(world)())
        public = {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
        assert public == {"reset", "get_reward", tool}


def test_rows_are_tasks():
    rows = task_rows(WORLD, seed=1, count=3, split="test")
    assert [row["task"].partition("-")[0] for row in rows] == ["test"] * 3
    assert rows[0]["prompt"][0]["content"].startswith("You are playing a text game.")


def test_what_is_missing_is_said():
    with pytest.raises(InputError, match='column "task"'):
        environment_factory(WORLD)().reset(prompt="none")
    with pytest.raises(InputError, match="Did you mean 'length'"):
        environment_factory(WORLD, lenght=1)


def speaking_tokenizer() -> PreTrainedTokenizerFast:
    """Has a whole tool call as one token, and Qwen3's chat template, whose calls TRL can read."""
    from trl.chat_template_utils import qwen3_chat_template

    tokenizer = byte_tokenizer(chat=True)
    tokenizer.add_tokens([AddedToken(CALL, normalized=False), AddedToken("<think>"), AddedToken("</think>")])
    tokenizer.chat_template = qwen3_chat_template
    tokenizer.pad_token = "<|endoftext|>"
    return tokenizer


def calling_model(tokenizer: PreTrainedTokenizerFast) -> tuple[Qwen3ForCausalLM, dict[str, Any]]:
    """A random model, and generation options with which it says tool calls and ends of turns only."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    call, end = tokenizer.convert_tokens_to_ids([CALL, "<|im_end|>"])
    # After a call only its end, else a call or, now and then, nothing.
    return Qwen3ForCausalLM(config), {"sequence_bias": [[[call], 50.0], [[end], 49.0], [[call, end], 100.0]]}


def test_trl_trains_in_our_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("trl", reason="TRL is not installed: pip install 'keystone-rl[trl]'")
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = speaking_tokenizer()
    model, generation = calling_model(tokenizer)
    arguments = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=256,
        max_steps=2,
        learning_rate=1e-3,
        generation_kwargs=generation,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(task_rows(WORLD, seed=0, count=8, length=2)),
        processing_class=tokenizer,
        environment_factory=environment_factory(WORLD, length=2),
    )
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trainer.train()
    rewards = [row["rewards/CommandEnvironment/mean"] for row in trainer.state.log_history if "loss" in row]
    assert len(rewards) == 2
    assert 0 < max(rewards) <= 1
    assert all(row["tools/failure_frequency"] == 0 for row in trainer.state.log_history if "loss" in row)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
