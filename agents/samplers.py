"""Which engine samples, the trained model itself or vLLM, and what can be wrong with the choice, without torch."""

from __future__ import annotations

import importlib.util
import urllib.parse
from dataclasses import dataclass

from envs.config_schema import key
from envs.errors import InputError, MissingExtraError

INSTALL_VLLM = "pip install 'keystone-rl[vllm]'"


@dataclass(frozen=True)
class VllmConfig:
    """How vLLM runs, where `sampler=vllm`."""

    url: str = key(
        "", "a vLLM server, http://host:port (the README says how it is started); by default in this process"
    )
    seconds: float = key(600.0, "what a server's answer may take", unit="seconds", minimum=1)
    memory_share: float = key(
        0.3, "share of the GPU's memory that it may take in this process", minimum=0.01, maximum=1
    )
    cache_megabytes: int = key(1024, "memory of its key-value cache on a CPU", unit="MB", minimum=1)


def is_vllm_installed() -> bool:
    """Whether vLLM is there."""
    return importlib.util.find_spec("vllm") is not None


def check_sampler(sampler: str, config: VllmConfig) -> None:
    """Makes sure that the engine which shall sample can be there.

    Raises:
        InputError: vLLM is not installed (names the install line), or the address is none.
    """
    if sampler != "vllm":
        if config.url:
            raise InputError(f"vllm.url={config.url} is read with sampler=vllm only; add sampler=vllm.")
        return
    if config.url:
        address = urllib.parse.urlsplit(config.url)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise InputError(f"vllm.url={config.url} is no address; write http://host:port.")
    elif not is_vllm_installed():
        raise MissingExtraError(
            f"sampler=vllm needs vLLM, which is not installed: {INSTALL_VLLM} (for a GPU), or use sampler=transformers."
        )
