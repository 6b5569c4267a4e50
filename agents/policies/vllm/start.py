"""Starting the engine that a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.policies.vllm.engine import Engine
from agents.policies.vllm.weights import SyncedWeights
from agents.samplers import VllmConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def open_sampler(model: PreTrainedModel, config: VllmConfig) -> SyncedWeights:
    """Starts an engine for a model, or finds the server, and gives it the model's weights.

    Args:
        model: the trainer's model.
        config: where and how the engine runs.

    Returns:
        The engine's weights, proven to be the model's.

    Raises:
        InputError: the engine cannot be started or reached, or does not fit the model.
        SyncError: it did not take the weights.
    """
    weights = SyncedWeights(model, _engine(model, config))
    weights.refresh()
    return weights


def _engine(model: PreTrainedModel, config: VllmConfig) -> Engine:
    text = model.config.get_text_config()
    windows = (text.max_position_embeddings, getattr(text, "sliding_window", None))
    longest = min(window for window in windows if window)
    if config.url:
        from agents.policies.vllm.server import ServerEngine

        return ServerEngine(config.url, longest, config.seconds)
    from agents.policies.vllm.local import local_engine

    return local_engine(model, config, longest)
