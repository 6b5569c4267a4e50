"""A vLLM server, on another GPU or machine, as the engine.

Prompts and replies are token ids through its OpenAI-compatible `/v1/completions`; weights go through its development
endpoints, in base64. That is slower than a link between two GPUs, but needs none: one block of a 1.5 B model in
bfloat16 is 94 MB. The server must have been started as `START` says; who can reach it can change its weights, so it
should listen on the local machine or a closed network. It takes temperatures of at most 2. Left out: NCCL and CUDA
IPC as the road of the weights.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from agents.calls import Calls
from agents.policies.synced import SyncError
from agents.policies.vllm.digests import size
from agents.policies.vllm.engine import Receipt, Request, Sampled
from envs.errors import InputError

START = (
    "VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --logprobs-mode processed_logprobs "
    '--worker-extension-cls agents.policies.vllm.worker.Extension --weight-transfer-config \'{"backend": "keystone"}\''
)
_CHUNK_BYTES = 64 * 2**20
_AT_ONCE = 128
_GRACE_SECONDS = 5.0


class ServerEngine:
    """A running server.

    Attributes:
        max_context: tokens a prompt and its reply may have together.
    """

    def __init__(self, url: str, max_context: int, seconds: float) -> None:
        """Finds the server.

        Args:
            url: its address, such as http://localhost:8000.
            seconds: what an answer may take.
            max_context: tokens the model may read; the server's own limit may be lower.

        Raises:
            InputError: there is none, or it was not started as `START` says.
        """
        self._url, self._seconds = url.rstrip("/"), seconds
        self._slots = threading.Semaphore(_AT_ONCE)
        try:
            (served,) = self._get("/v1/models")["data"][:1]
            self.version()
            self.digests([])
        except (OSError, ValueError, KeyError, SyncError) as error:
            raise InputError(
                f"vllm.url={url}: no vLLM server that takes weights answers there ({error}). Start it with: {START}"
            ) from error
        self._model = str(served["id"])
        self.max_context = min(max_context, int(served["max_model_len"]))
        if self._is_raw():
            raise InputError(f"vllm.url={url}: its log-probabilities ignore the temperature. Start it with: {START}")

    def sample(self, requests: Sequence[Request]) -> list[Sampled]:
        """Samples a reply for each request, all together.

        Raises:
            SyncError: one was not answered in time, or refused.
        """
        calls = Calls[Sampled](self._slots)
        for number, request in enumerate(requests):
            calls.begin(number, partial(self._sample, request))
        found: dict[int, Sampled] = {}
        try:
            while calls.waiting:
                # Each request under way ends in time, unless its answer's headers never do.
                found |= calls.ended(self._seconds + _GRACE_SECONDS)
        except TimeoutError as error:
            raise SyncError(
                f"the vLLM server at {self._url} gave no answer ({error}; vllm.seconds={self._seconds:g} are allowed). "
                "Start it again."
            ) from None
        return [found[number] for number in range(len(requests))]

    def score(self, tokens: Sequence[int]) -> list[float]:
        """Log-probability of every id but the first, given those before it, at temperature 1."""
        asked = {"model": self._model, "prompt": list(tokens), "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        (choice,) = self._post("/v1/completions", asked)["choices"]
        entries = choice["prompt_logprobs"][1:]
        return [float(entry[str(token)]["logprob"]) for entry, token in zip(entries, tokens[1:], strict=True)]

    def send(self, tensors: Mapping[str, torch.Tensor], version: str) -> Receipt:
        """Loads tensors by the plain model's parameter names into the running engine, which then is at `version`."""
        self._post("/start_weight_update", {})
        for chunk in _chunks(tensors):
            self._post("/update_weights", {"update_info": chunk})
        self._post("/finish_weight_update", {"weight_version": version})
        receipt = self._call("keystone_receipt")
        return Receipt(receipt["bytes"], receipt["digests"])

    def digests(self, names: Sequence[str]) -> dict[str, str]:
        """SHA-256 of parameters as the engine has loaded them; "" for one that cannot be read back."""
        return dict(self._call("keystone_digests", list(names)))

    def version(self) -> str:
        """The version of its weights."""
        return str(self._get("/weight_info")["weight_version"])

    def reset_cache(self) -> bool:
        """Forgets the keys and values of earlier prompts; True if it did."""
        return bool(self._post("/reset_prefix_cache", {})["success"])

    def close(self) -> None:
        """Lets it run; it is not ours to end."""

    def _sample(self, request: Request) -> Sampled:
        asked: dict[str, Any] = {
            "model": self._model,
            "prompt": list(request.tokens),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "logprobs": 0,
            "stop_token_ids": list(request.stops),
            "ignore_eos": True,
            "return_token_ids": True,
            "seed": request.seed,
        }
        answer = self._post("/v1/completions", asked)
        (choice,) = answer["choices"]
        logprobs = tuple(float(value) for value in choice["logprobs"]["token_logprobs"])
        details = answer["usage"].get("prompt_tokens_details") or {}
        return Sampled(tuple(choice["token_ids"]), logprobs, int(details.get("cached_tokens") or 0))

    def _is_raw(self) -> bool:
        """Whether log-probabilities are those at temperature 1, whatever it is sampled at."""
        prompt = (1, 2, 3)
        said = self._sample(Request(prompt, seed=0, temperature=2.0, max_tokens=1, stops=()))
        return abs(said.logprobs[0] - self.score([*prompt, said.tokens[0]])[-1]) < 1e-6

    def _call(self, method: str, *arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON takes
        results = self._post("/collective_rpc", {"method": method, "args": list(arguments)})["results"]
        if len(results) != 1:
            raise SyncError(f"the engine runs in {len(results)} processes; one is needed.")
        found: dict[str, Any] = results[0]
        return found

    def _get(self, path: str) -> dict[str, Any]:
        return self._ask(urllib.request.Request(self._url + path))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode()
        return self._ask(urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}))

    def _ask(self, request: urllib.request.Request) -> dict[str, Any]:
        until = time.monotonic() + self._seconds
        try:
            with urllib.request.urlopen(request, timeout=self._seconds) as answer:
                found: dict[str, Any] = json.loads(_whole(answer, until) or b"{}")
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace").strip()[:300]
            raise SyncError(f"the vLLM server answers {error.code} to {request.selector}: {said}") from error
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            why = getattr(error, "reason", error)
            raise SyncError(
                f"the vLLM server at {self._url} gave no answer to {request.selector} ({why}; "
                f"vllm.seconds={self._seconds:g} are allowed). Start it again."
            ) from error
        return found


def _whole(answer: http.client.HTTPResponse, until: float) -> bytes:
    """Reads an answer to its end, which must come before a moment of `time.monotonic()`.

    Raises:
        TimeoutError: it does not; a socket's own limit is for each piece alone.
    """
    content = bytearray()
    while part := answer.read1(1 << 20):
        content += part
        if time.monotonic() > until:
            raise TimeoutError("timed out, with a part of the answer")
    return bytes(content)


def _chunks(tensors: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """Tensors as JSON, in messages of about `_CHUNK_BYTES`."""
    chunk: dict[str, list[Any]] = {"names": [], "dtypes": [], "shapes": [], "encoded": []}
    held = 0
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        chunk["names"].append(name)
        chunk["dtypes"].append(str(value.dtype).removeprefix("torch."))
        chunk["shapes"].append(list(value.shape))
        chunk["encoded"].append(base64.b64encode(value.reshape(-1).view(torch.uint8).numpy().tobytes()).decode())
        held += size(value)
        if held >= _CHUNK_BYTES:
            yield chunk
            chunk, held = {column: [] for column in chunk}, 0
    if chunk["names"]:
        yield chunk
