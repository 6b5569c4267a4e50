"""What a DeepSpeed configuration may say: the stage, and how gradients travel. Else it is refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from envs.errors import InputError, MissingExtraError
from training import deepspeed_settings
from training.arguments import GroupConfig
from training.deepspeed_settings import asked, checked


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """These settings are read as if DeepSpeed were there; and the launcher's word is forgotten after each test."""
    monkeypatch.setattr(deepspeed_settings, "find_spec", lambda name: name)
    for name in ("ACCELERATE_USE_DEEPSPEED", "KEYSTONE_USE_DEEPSPEED"):
        monkeypatch.setenv(name, "false")


# As the documentation of transformers prints it for stage 2, less the offload.
PUBLISHED: dict[str, Any] = {
    "fp16": {"enabled": "auto", "loss_scale": 0},
    "bf16": {"enabled": "auto"},
    "zero_optimization": {
        "stage": 2,
        "offload_optimizer": {"device": "none", "pin_memory": True},
        "allgather_partitions": True,
        "allgather_bucket_size": 2e8,
        "reduce_bucket_size": "auto",
        "contiguous_gradients": True,
    },
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "steps_per_print": 2000,
}


def test_what_is_left_to_the_trainer_is_dropped_and_the_rest_is_passed_on(tmp_path: Path):
    wanted = {
        "zero_optimization": {
            "stage": 2,
            "allgather_partitions": True,
            "allgather_bucket_size": 2e8,
            "contiguous_gradients": True,
        },
        "steps_per_print": 2000,
    }
    assert checked(PUBLISHED, 1.0) == wanted
    (tmp_path / "ds.json").write_text(json.dumps(PUBLISHED))
    args = GroupConfig(use_cpu=True, deepspeed=str(tmp_path / "ds.json"))
    assert (args.zero, args.deepspeed_settings, args.deepspeed) == (2, wanted, None)
    assert checked({"zero_optimization": {"stage": 1}, "gradient_clipping": 0.5}, 0.5)["zero_optimization"] == {
        "stage": 1
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": {"type": "AdamW"}}, "DeepSpeed's optimizer=.*the trainer's AdamW"),
        ({"scheduler": {"type": "WarmupLR"}}, "DeepSpeed's scheduler=.*warmup_steps"),
        ({"fp16": {"enabled": True}}, "no loss scaling"),
        ({"gradient_accumulation_steps": 4}, "gradient_accumulation_steps=4: .* write 1 or leave it out"),
        ({"gradient_clipping": 0.3}, "gradient_clipping=0.3: .* max_grad_norm=1; write 1 or leave it out"),
        ({"zero_optimization": {"stage": 3}}, "ZeRO stage 3: .* accelerate launch --use_fsdp"),
        ({"zero_optimization": {"stage": 0}}, "ZeRO stage 0: GroupTrainer has stages 1 and 2"),
        ({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}, "nothing is offloaded"),
        ({"zero_optimization": {"stage": 1, "overlap_com": True}}, "Did you mean 'overlap_comm'"),
        ({"gradient_cliping": 1.0}, "Did you mean 'gradient_clipping'"),
    ],
)
def test_a_contradiction_is_one_line(given: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said) as error:
        GroupConfig(use_cpu=True, deepspeed={"zero_optimization": {"stage": 1}} | given)
    assert "\n" not in str(error.value)


def test_the_launchers_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert asked() is None
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert GroupConfig(use_cpu=True).zero == 2
    # Accelerate is kept from it, and a second trainer of the program still hears of it.
    assert os.environ["ACCELERATE_USE_DEEPSPEED"] == "false"
    assert GroupConfig(use_cpu=True, zero=2).zero == 2
    with pytest.raises(InputError, match=r"zero=1, but .* stage 2"):
        GroupConfig(use_cpu=True, zero=1)
    with pytest.raises(InputError, match="choose one"):
        GroupConfig(use_cpu=True, shard=True)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "1")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    assert GroupConfig(use_cpu=True).zero == 1
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", "cpu")
    with pytest.raises(InputError, match="offload_param"):
        GroupConfig(use_cpu=True)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(tmp_path / "none.json"))
    with pytest.raises(InputError, match=r"cannot read the DeepSpeed configuration .*none.json"):
        GroupConfig(use_cpu=True)


def test_without_deepspeed_its_install_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(deepspeed_settings, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'keystone-rl\[deepspeed\]'"):
        GroupConfig(use_cpu=True, zero=1)
