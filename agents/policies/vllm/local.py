"""vLLM's engine in this process, on the training device.

The engine is built from the model's configuration alone and gets its weights, all of them once, by the road that every
later sync takes. On a CPU it runs without compiling; what only a GPU can show (CUDA graphs, sharing its memory with the
trainer) is unverified.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from agents.policies.vllm.engine import Receipt, Request, Sampled
from agents.samplers import VllmConfig
from envs.errors import InputError, first_line, shortened

# In this process; tensors are then handed over by reference. Nothing is reported, and threads are left where they are.
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
# A prompt's keys and values are kept in blocks of so many tokens, and only whole ones are found again.
_CPU_BLOCK = 32


_running: dict[str, LocalEngine] = {}


def local_engine(model: PreTrainedModel, config: VllmConfig, max_context: int) -> LocalEngine:
    """The engine of this process: the one that runs if it fits, as a process has room for one alone.

    Raises:
        InputError: it cannot be started.
    """
    wanted = f"{model.config.to_json_string()} {model.dtype} {model.device} {config} {max_context}"
    if wanted not in _running:
        for engine in _running.values():
            engine.close()
        _running.clear()
        _running[wanted] = LocalEngine(model, config, max_context)
    return _running[wanted]


class LocalEngine:
    """A running engine in this process.

    Attributes:
        max_context: tokens a prompt and its reply may have together.
    """

    def __init__(self, model: PreTrainedModel, config: VllmConfig, max_context: int) -> None:
        """Starts it, without weights.

        Args:
            model: the trainer's model: its configuration, dtype and device are the engine's.
            config: how it runs.
            max_context: tokens a prompt and its reply may have together.

        Raises:
            InputError: the installed vLLM is built for another device, or it refuses the model.
        """
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        if os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] != "0":
            raise InputError("VLLM_ENABLE_V1_MULTIPROCESSING must be 0 or unset: the engine runs in this process.")
        import vllm
        from vllm.platforms import current_platform

        device = model.device.type
        if current_platform.device_type != device:
            raise InputError(
                f"sampler=vllm: the installed vLLM is built for {current_platform.device_type or 'no device here'}, "
                f"the model is on {device}. Install vLLM for that device, or use sampler=transformers."
            )
        self.max_context = max_context
        self._vllm = vllm
        with tempfile.TemporaryDirectory() as folder:
            _write_config(model, folder)
            try:
                self._engine = vllm.LLM(
                    model=folder,
                    load_format="dummy",
                    skip_tokenizer_init=True,
                    generation_config="vllm",
                    dtype=str(model.dtype).removeprefix("torch."),
                    max_model_len=max_context,
                    logprobs_mode="processed_logprobs",
                    enable_prefix_caching=True,
                    disable_log_stats=True,
                    worker_extension_cls="agents.policies.vllm.worker.Extension",
                    weight_transfer_config={"backend": "keystone"},
                    **_on_cpu(config) if device == "cpu" else _on_gpu(config),
                )
            except (ValueError, NotImplementedError) as error:
                raise InputError(f"sampler=vllm: vLLM refuses this model: {_said(error)}") from error
        self._stance = "force_eager" if device == "cpu" else "default"

    def sample(self, requests: Sequence[Request]) -> list[Sampled]:
        """Samples a reply for each request, all together."""
        made = self._generate([request.tokens for request in requests], [self._parameters(one) for one in requests])
        return [_sampled(output) for output in made]

    def score(self, tokens: Sequence[int]) -> list[float]:
        """Log-probability of every id but the first, given those before it, at temperature 1."""
        asked = self._vllm.SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        (output,) = self._generate([tokens], [asked])
        return [entry[token].logprob for entry, token in zip(output.prompt_logprobs[1:], tokens[1:], strict=True)]

    def send(self, tensors: Mapping[str, torch.Tensor], version: str) -> Receipt:
        """Loads tensors by the plain model's parameter names into the running engine, which then is at `version`."""
        self._engine.start_weight_update()
        update = {"names": list(tensors), "tensors": [tensor.detach() for tensor in tensors.values()]}
        self._engine.update_weights({"update_info": update})
        self._engine.finish_weight_update(version)
        (receipt,) = self._engine.collective_rpc("keystone_receipt")
        return Receipt(receipt["bytes"], receipt["digests"])

    def digests(self, names: Sequence[str]) -> dict[str, str]:
        """SHA-256 of parameters as the engine has loaded them; "" for one that cannot be read back."""
        (found,) = self._engine.collective_rpc("keystone_digests", args=(list(names),))
        return dict(found)

    def version(self) -> str:
        """The version of its weights."""
        return str(self._engine.get_weight_version())

    def reset_cache(self) -> bool:
        """Forgets the keys and values of earlier prompts; True if it did."""
        return bool(self._engine.reset_prefix_cache())

    def close(self) -> None:
        """Ends it."""
        self._engine.llm_engine.engine_core.shutdown()

    def _parameters(self, request: Request) -> Any:  # noqa: ANN401 - a class of vLLM's
        greedy = request.temperature == 0
        return self._vllm.SamplingParams(
            temperature=request.temperature,
            top_p=1.0,
            top_k=0,
            seed=None if greedy else request.seed,
            max_tokens=request.max_tokens,
            logprobs=0,
            stop_token_ids=list(request.stops),
            # The model's configuration may name other ends than the dialogue does.
            ignore_eos=True,
            detokenize=False,
        )

    def _generate(self, prompts: Sequence[Sequence[int]], parameters: Sequence[Any]) -> list[Any]:
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        # vLLM compiles one small function of its sampler, which takes a C++ compiler and half a minute.
        with torch.compiler.set_stance(self._stance):
            return list(self._engine.generate(asked, list(parameters), use_tqdm=False))


def _on_cpu(config: VllmConfig) -> dict[str, Any]:
    return {"enforce_eager": True, "kv_cache_memory_bytes": config.cache_megabytes * 2**20, "block_size": _CPU_BLOCK}


def _on_gpu(config: VllmConfig) -> dict[str, Any]:
    return {"gpu_memory_utilization": config.memory_share}


def _write_config(model: PreTrainedModel, folder: str) -> None:
    """The model's config.json, which names its class also where the model was made in memory."""
    config = type(model.config).from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)


def _sampled(output: Any) -> Sampled:  # noqa: ANN401 - a class of vLLM's
    (said,) = output.outputs
    tokens = tuple(said.token_ids)
    logprobs = tuple(entry[token].logprob for entry, token in zip(said.logprobs, tokens, strict=True))
    return Sampled(tokens, logprobs, output.num_cached_tokens or 0)


def _said(error: Exception) -> str:
    """What is wrong, of vLLM's own errors and of those that pydantic wraps around them."""
    from pydantic import ValidationError

    return shortened(error.errors()[0]["msg"] if isinstance(error, ValidationError) else first_line(error), 300)
