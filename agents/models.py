"""Finding a language model before it is loaded: its options, its folder, its device and its type.

What can be wrong with the names is found here without importing torch, so that a command can refuse them at once.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envs.config_schema import key
from envs.errors import InputError, first_line, shortened
from envs.files import expanded, is_folder, read_json
from envs.installation import REPOSITORY

if TYPE_CHECKING:
    import torch


_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class ModelConfig:
    """A language model and how it is asked."""

    name: str = key("", "the preset, folder or hub id it was chosen by")
    path: str = key("", "its folder or hub id; a relative folder may also be relative to the repository")
    # The published runs' limit (arXiv 2505.10978): a chat model thinks before it acts.
    max_reply_tokens: int = key(512, "longest reply", unit="tokens a turn", minimum=1)
    context: str = key(
        "full",
        "what it is shown: full, an episode as one growing sequence, or window:K, the last K turns in a prompt of each"
        " turn's own",
    )
    thinking: Literal["auto", "on", "off"] = key(
        "auto", "whether a model thinks whose chat template can turn thinking on or off; auto is the template's default"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = key(
        "auto", "type of the weights; auto is bfloat16 for a folder that stores 16-bit weights, else float32"
    )


def is_path(name: str) -> bool:
    """Whether a name that is no preset can be a model: a folder or a hub id."""
    return "/" in name or (name != "" and is_folder(name))


def locate_model(path: str, given_by: str = "model") -> str:
    """The model's folder: as given, or relative to the repository; a hub id stays as it is.

    Args:
        path: a folder or a hub id.
        given_by: the key that it was given by, for messages.

    Raises:
        InputError: a folder without weights, no such folder, or what is no hub id either.
    """
    for given in (Path(path), REPOSITORY / path):
        if is_folder(given):
            folder = expanded(given)
            missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
            if missing:
                raise InputError(f"{given_by}={path}: the folder has no {missing[0]}; a model folder is needed.")
            if not any(folder.glob("*.safetensors")):
                raise InputError(f"{given_by}={path}: the folder has no weights (*.safetensors).")
            return str(folder)
    if not _is_hub_id(path):
        raise InputError(
            f"{given_by}={shortened(path, 200)}: no such folder. Give a model folder or a hub id such as "
            "Qwen/Qwen3-0.6B."
        )
    return path


def _is_hub_id(name: str) -> bool:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def announce_download(path: str) -> None:
    """Finds out at once whether a hub id's model can be had, and says so where it is not on this machine yet.

    The hub's own client asks again and again for half a minute before it gives up.

    Args:
        path: what `locate_model` returned; for a folder nothing is done.

    Raises:
        InputError: the model is neither here nor can the hub be asked.
    """
    if os.path.isdir(path):
        return
    import httpx
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(try_to_load_from_cache(path, "config.json"), str):
        return
    try:
        get_hf_file_metadata(hf_hub_url(path, "config.json"), timeout=10)
    except (httpx.TransportError, OfflineModeIsEnabled) as error:
        reason = first_line(error).rstrip(".")
        raise InputError(
            f"the model {path} is not on this machine, and {constants.ENDPOINT} cannot be asked ({reason}). "
            f"Give a model's folder, or fetch it where there is a network: hf download {path}"
        ) from None
    except HfHubHTTPError:
        return  # there is no such model, or it is not for everybody: whoever loads it says which
    print(f"the model {path} is fetched from {constants.ENDPOINT} into {constants.HF_HUB_CACHE}", file=sys.stderr)
    with suppress(httpx.TransportError, HfHubHTTPError, OSError):  # whoever loads the model says what is wrong
        hf_hub_download(path, "config.json")  # it says which type the weights are


def choose_device(device: str) -> str:
    """Resolves `device=auto`.

    Raises:
        InputError: cuda was asked for and there is none.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda: PyTorch sees no CUDA device here. Use device=cpu or device=auto.")
    return device


def model_settings(path: str) -> dict[str, Any]:
    """What a model's config.json says, that of a hub id if it is in the cache; nothing where it is not.

    Raises:
        InputError: it is no JSON object.
    """
    file = Path(path) / "config.json"
    if not os.path.isdir(path) and _is_hub_id(path):
        from huggingface_hub import try_to_load_from_cache

        file = Path(str(try_to_load_from_cache(path, "config.json")))
    settings = read_json(file, "model's configuration", _MOST_BYTES) if file.is_file() else {}
    if not isinstance(settings, dict):
        raise InputError(f"the model {path}: its config.json must hold a JSON object.")
    return settings


def choose_dtype(dtype: str, path: str) -> torch.dtype:
    """Resolves `dtype=auto` by what a model folder's config.json says its weights are.

    Args:
        dtype: auto, float32 or bfloat16.
        path: what `locate_model` returned.

    Returns:
        The type that the weights are loaded as.
    """
    import torch

    if dtype == "auto":
        settings = model_settings(path)
        stored = settings.get("dtype", settings.get("torch_dtype"))
        dtype = "bfloat16" if stored in ("bfloat16", "float16") else "float32"
    return torch.bfloat16 if dtype == "bfloat16" else torch.float32


def quiet() -> None:
    """Keeps the libraries below from reporting their use, from drawing bars and from advertising packages."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"
    # PEFT imports bitsandbytes wherever it is installed, and that says which faster kernels it could not download.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    import transformers

    transformers.logging.disable_progress_bar()
