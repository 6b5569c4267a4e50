"""What an evaluation plays: a scripted player, a model with its deltas, or a model behind an endpoint.

Everything here may be slow; what can be wrong with the names was found before (`evals.run.check`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from agents.completions import Endpoint, EndpointConfig
from agents.models import ModelConfig, announce_download, choose_device, choose_dtype, quiet
from agents.policies.scripted import ScriptedPolicy
from agents.prompts import manner_of
from agents.types import Policy
from envs.errors import InputError
from envs.registry import env_class

if TYPE_CHECKING:
    from agents.deltas import Card
    from agents.policies.transformers import TransformersPolicy


class Contestant(NamedTuple):
    """What plays.

    Attributes:
        policy: makes the policy at a temperature, None for a scripted player.
        facts: what tells it from others, hashes of weights among them.
        line: describes it.
    """

    policy: Callable[[float | None], Policy]
    facts: dict[str, Any]
    line: str


def scripted(name: str) -> Contestant:
    """One of the environment's own players."""
    return Contestant(lambda temperature: ScriptedPolicy(name), {}, f"policy: {name}, scripted")


def behind_endpoint(config: EndpointConfig, env: str) -> Contestant:
    """A model behind an endpoint.

    Args:
        config: where it is.
        env: name of the environment that it plays.

    Raises:
        InputError: nothing answers there, or it is not clear which model is meant.
    """
    from agents.policies.endpoint import EndpointPolicy

    endpoint = Endpoint(config)
    manner = manner_of(env_class(env), config.context)

    def policy(temperature: float | None) -> Policy:
        return EndpointPolicy(endpoint, config.concurrency, temperature or 0.0, manner)

    facts = {"url": endpoint.url, "model": endpoint.model}
    return Contestant(policy, facts, f"policy: {endpoint.model} at {endpoint.url}")


def model(
    config: ModelConfig,
    path: str,
    env: str,
    device: Literal["auto", "cpu", "cuda"],
    files: Sequence[Path],
    vote: Literal["average", "majority"],
) -> Contestant:
    """Loads a model and lays deltas over it.

    Args:
        config: the model and how it is asked.
        path: its folder or hub id.
        env: name of the environment that it plays.
        device: where it runs.
        files: deltas; several play as a committee.
        vote: how a committee decides.

    Raises:
        InputError: it cannot be loaded, or a delta was made for another model.
    """
    quiet()
    from agents import deltas
    from agents.policies.transformers import Sampling, TransformersPolicy, load

    announce_download(path)
    where, dtype = choose_device(device), choose_dtype(config.dtype, path)
    parts = [deltas.load(file) for file in files]
    loaded, tokenizer = load(path, where, dtype)
    facts: dict[str, Any] = {"dtype": str(dtype), "base_sha256": deltas.base_fingerprint(loaded), "delta_sha256": None}
    name = config.name.rstrip("/").rpartition("/")[2]
    line = f"{sum(parameter.numel() for parameter in loaded.parameters()):,} parameters"
    seat: Callable[[TransformersPolicy], Policy] = lambda alone: alone  # noqa: E731
    if len(parts) == 1:
        ((tensors, card),) = parts
        deltas.apply(loaded, tensors, card)
        facts["delta_sha256"] = card.tensors_sha256
        name, line = f"{name} with delta", f"{line}, with the delta of layer {card.target} from {files[0]}"
    elif parts:
        seat, said = _committee(loaded, files, parts, vote)
        facts |= {"delta_sha256": [card.tensors_sha256 for _, card in parts], "vote": vote}
        line = f"{line}, {said}"

    def policy(temperature: float | None) -> Policy:
        sampling = Sampling(temperature or 0.0, config.max_reply_tokens)
        manner = manner_of(env_class(env), config.context, thinking=config.thinking)
        return seat(TransformersPolicy(loaded, tokenizer, sampling, name=name, manner=manner))

    return Contestant(policy, facts, f"policy: {config.name}, {line}, {dtype} on {where}")


def _committee(
    loaded: Any,  # noqa: ANN401 - a model
    files: Sequence[Path],
    parts: Sequence[tuple[Any, Card]],
    vote: Literal["average", "majority"],
) -> tuple[Callable[[TransformersPolicy], Policy], str]:
    """Seats the deltas on one model; returns what makes a policy their committee, and words for it."""
    from agents.delta_bank import DeltaBank
    from agents.policies.committee import Committee

    bank = DeltaBank(loaded)
    names = [f"{card.target} ({number})" for number, (_, card) in enumerate(parts)]
    for name, file, (tensors, card) in zip(names, files, parts, strict=True):
        try:
            bank.put(name, tensors, card)
        except InputError as error:
            raise InputError(f"delta={file}: {error}") from None
    layers = ", ".join(card.target for _, card in parts)
    return lambda alone: Committee(alone, bank, names, vote), f"a committee ({vote}) of the deltas of layers {layers}"
