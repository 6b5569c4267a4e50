"""What a DeepSpeed configuration may say here, and what the launcher or a file says of it.

The optimizer, its rates, micro-batches, clipping and precision are the trainer's own. So a configuration may choose the
ZeRO stage and how gradients travel; wherever else it has an opinion, it must be the trainer's or "auto".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from envs import presets
from envs.errors import InputError, MissingExtraError, shortened, unknown
from envs.files import read_json
from training.processes import asked_for

INSTALL_DEEPSPEED = "pip install 'keystone-rl[deepspeed]'"
STAGES = (1, 2)
Settings = dict[str, Any]

_PASSED = ("comms_logger", "communication_data_type", "steps_per_print", "wall_clock_breakdown")
_ZERO_PASSED = (
    "allgather_bucket_size",
    "allgather_partitions",
    "contiguous_gradients",
    "overlap_comm",
    "reduce_bucket_size",
    "reduce_scatter",
    "round_robin_gradients",
)
_OFFLOADED = ("offload_optimizer", "offload_param")
_OURS = {
    "optimizer": "the optimizer is the trainer's AdamW (learning_rate, weight_decay, adam_beta1, adam_beta2)",
    "scheduler": "rates follow the trainer's learning_rate and warmup_steps",
    "amp": "a model trains in the precision it was loaded in",
    "fp16": "there is no loss scaling: models train in float32 or bfloat16",
}
_KEYS = (
    *_PASSED,
    *_OURS,
    "bf16",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "zero_allow_untested_optimizer",
    "zero_optimization",
)


def asked(given: str | Settings | None = None) -> Settings | None:
    """The configuration that was given, or that the launcher was asked for; None if nobody asked for DeepSpeed.

    Args:
        given: a configuration or the path of one.

    Raises:
        InputError: its file cannot be read.
    """
    if given:
        return _read(given) if isinstance(given, str) else dict(given)
    if not asked_for("DEEPSPEED"):
        return None
    if path := os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        return _read(path)
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    zero: Settings = {"stage": int(stage) if stage.isdigit() else stage}
    for name in _OFFLOADED:
        zero[name] = {"device": os.environ.get(f"ACCELERATE_DEEPSPEED_{name.upper()}_DEVICE", "none")}
    return {
        "zero_optimization": zero,
        "gradient_accumulation_steps": _number("ACCELERATE_GRADIENT_ACCUMULATION_STEPS"),
        "gradient_clipping": _number("ACCELERATE_GRADIENT_CLIPPING"),
    }


def checked(given: Mapping[str, Any], max_grad_norm: float) -> Settings:
    """What a configuration says that the trainer does not.

    Args:
        given: the configuration.
        max_grad_norm: the norm that the trainer clips gradients to.

    Returns:
        "zero_optimization" with its stage, "bf16" if it was switched on or off, and what is passed on as it is.

    Raises:
        InputError: it contradicts the trainer, is none, or DeepSpeed is not installed.
    """
    for key in given:
        if key not in _KEYS:
            raise unknown("key of a DeepSpeed configuration", key, _KEYS)
    for key, why in _OURS.items():
        if (section := given.get(key)) and _switch(section, key) is not False:
            raise InputError(f"DeepSpeed's {key}={shortened(json.dumps(section))}: {why}; leave it out.")
    fixed = {"gradient_accumulation_steps": 1, "train_micro_batch_size_per_gpu": 1, "gradient_clipping": max_grad_norm}
    for key, wanted in fixed.items():
        if given.get(key, "auto") not in ("auto", wanted):
            raise InputError(
                f"DeepSpeed's {key}={shortened(str(given[key]))}: the trainer forms its own micro-batches "
                f"(micro_batch_tokens) and clips at max_grad_norm={max_grad_norm:g}; write {wanted:g} or leave it out."
            )
    if find_spec("deepspeed") is None:
        raise MissingExtraError(f"DeepSpeed is not installed: {INSTALL_DEEPSPEED}.")
    found = {key: given[key] for key in _PASSED if given.get(key, "auto") != "auto"}
    if (short := _switch(given.get("bf16", {}), "bf16")) is not None:
        found["bf16"] = {"enabled": short}
    return found | {"zero_optimization": _zero(_section(given, "zero_optimization"))}


def _zero(given: Mapping[str, Any]) -> Settings:
    """The section of the ZeRO stage.

    Raises:
        InputError: there is no such stage, or something is to be offloaded.
    """
    stage = given.get("stage", "auto")
    if type(stage) is not int or stage not in STAGES:
        raise InputError(
            f"ZeRO stage {shortened(str(stage))}: GroupTrainer has stages 1 and 2. To spread frozen weights too, as "
            "stage 3 does, use FSDP2: shard=True, or accelerate launch --use_fsdp."
        )
    for name in _OFFLOADED:
        if _section(given, name).get("device", "none") != "none":
            raise InputError(f"DeepSpeed's {name}: nothing is offloaded; one layer's moments are small. Leave it out.")
    for key in given:
        if key not in ("stage", *_OFFLOADED, *_ZERO_PASSED) and not key.startswith("stage3_"):
            raise unknown("key of zero_optimization", key, ("stage", *_ZERO_PASSED))
    return {"stage": stage} | {key: given[key] for key in _ZERO_PASSED if given.get(key, "auto") != "auto"}


def _section(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A part of a configuration; empty if it is not there.

    Raises:
        InputError: it is no mapping.
    """
    section = given.get(key, {})
    if not isinstance(section, Mapping):
        raise InputError(f"DeepSpeed's {key} must be a mapping, got {shortened(repr(section))}.")
    return section


def _switch(section: Any, key: str) -> bool | None:  # noqa: ANN401
    """Whether a section is switched on; None where that is left open."""
    enabled = section.get("enabled", "auto") if isinstance(section, Mapping) else section
    if key in ("optimizer", "scheduler"):
        return True
    if enabled == "auto":
        return False if key in _OURS else None
    return bool(enabled)


def _read(path: str) -> Settings:
    content = read_json(Path(path), "DeepSpeed configuration", presets.MOST_BYTES)
    if not isinstance(content, dict):
        raise InputError(f"the DeepSpeed configuration {path} is no JSON object.")
    return content


def _number(name: str) -> float | str:
    """What the launcher set, or "auto"."""
    text = os.environ.get(name, "auto")
    return text if text in ("auto", "none") else float(text)
