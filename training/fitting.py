"""What a run needs of the memory, and how its model is to be stored, known before any weight is read."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from agents import targets
from agents.targets import Target, middle, parse
from envs.errors import InputError, MissingExtraError
from training import selectors
from training.config import RunConfig

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PLAIN = "plain"


def arms_of(config: RunConfig, blocks: int) -> dict[str, Target]:
    """What a run trains, by arm; the middle block stands for one that is yet to be chosen."""
    target = parse(config.layer, blocks, selectors.names()) or Target(middle(blocks))
    found = {f"layer={target.name}": target}
    return found | ({"full": targets.full(blocks)} if config.compare == "full" and not target.full else {})


def skeleton(path: str, dtype: torch.dtype, *, offline: bool = False) -> PreTrainedModel | None:
    """A model without weights; None where its configuration cannot be had, which loading it explains.

    Args:
        path: its folder or hub id.
        dtype: type of its weights.
        offline: whether a hub id's configuration must be on this machine already.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        local = offline or Path(path).is_dir()
        settings = AutoConfig.from_pretrained(path, local_files_only=local, trust_remote_code=False)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(settings, dtype=dtype)
    except Exception:  # a broken configuration makes the library raise anything
        return None
    return model


def check_frozen(config: RunConfig) -> None:
    """Checks `train.frozen=`, as far as that needs no model.

    Raises:
        InputError: more than some fixed blocks would be trained on rounded weights, or what rounds them is missing.
    """
    named = config.layer.strip().lower()
    if config.train.frozen == PLAIN:
        return
    if config.compare == "full" or named in selectors.names() or named.startswith(("full", "boost")):
        raise _too_much(config)
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            f"train.frozen={config.train.frozen} needs bitsandbytes: pip install 'keystone-rl[quantized]'."
        )


def _too_much(config: RunConfig) -> InputError:
    return InputError(
        f"train.frozen={config.train.frozen} rounds all that is not trained, so layer= must name blocks (14, middle, "
        f"...) and compare=none; given are layer={config.layer} compare={config.compare}."
    )


def kept(config: RunConfig, model: PreTrainedModel) -> list[str]:
    """Names of the modules whose weights are not rounded with `train.frozen=8bit|4bit`.

    Raises:
        InputError: more than some fixed blocks would be trained.
    """
    from agents.blocks import find_stack
    from agents.quantized import kept_modules

    target = parse(config.layer, len(find_stack(model)), selectors.names())
    if target is None or target.everything or config.compare == "full":
        raise _too_much(config)
    return kept_modules(model, target)


def check_fits(config: RunConfig, model: PreTrainedModel, device: str) -> None:
    """Makes sure that weights, gradients and optimizer can fit the free memory.

    Args:
        config: the run's configuration.
        model: its model, without weights.
        device: where it would go.

    Raises:
        InputError: they cannot.
    """
    free = free_bytes(device)
    for arm, (weights, states) in needs(config, model).items():
        if weights + states > free:
            raise InputError(
                f"model={config.model.name} does not fit: {arm} needs at least {(weights + states) / 1e9:.1f} GB on "
                f"{device} (weights {weights / 1e9:.1f}, gradients and optimizer {states / 1e9:.1f}), and "
                f"{free / 1e9:.1f} GB are free. {advice(arm, config)}"
            )


def free_bytes(device: str) -> int:
    """Memory of a device, "cuda" or "cpu", that nobody uses now."""
    import psutil
    import torch

    return int(torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available)


def needs(config: RunConfig, model: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """What each arm of a run needs at least.

    Args:
        config: the run's configuration.
        model: its model, without weights.

    Returns:
        By arm, bytes of the weights, and of gradients, optimizer and reference.

    Raises:
        InputError: more than some fixed blocks would be trained on rounded weights.
    """
    from agents.blocks import find_stack
    from agents.quantized import stored_bytes
    from training.estimate import state_bytes, weight_bytes

    plain = config.train.frozen == PLAIN
    weights = weight_bytes(model) if plain else stored_bytes(model, config.train.frozen, kept(config, model))
    return {
        arm: (weights, sum(state_bytes(model, target, reference=bool(config.train.beta)).values()))
        for arm, target in arms_of(config, len(find_stack(model))).items()
    }


def advice(arm: str, config: RunConfig) -> str:
    """What would need less memory."""
    if arm == "full":
        return "Leave the full-parameter arm out (compare=none), or take a smaller model."
    if arm != "layer=full" and config.train.frozen == PLAIN:
        return "Store the frozen weights in fewer bits (train.frozen=8bit or 4bit), or take a smaller model."
    return "Take a smaller model."
