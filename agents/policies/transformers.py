"""A causal language model as a policy.

Its conversations are in `agents.policies.session`. Every token is drawn from its own keyed number (see `agents.draws`).
Results are the same for any batch size, up to rounding: a matrix product of another shape may differ in the last bit,
and a draw that falls that close to a border may then differ.

The policy reads the weights where they are: when a trainer changes them, the next session plays the new policy.
Left out: beams, top-k and top-p (a gradient estimate wants the distribution itself), and constrained decoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from agents.dialogue import Dialogue
from agents.models import announce_download, locate_model
from agents.policies.session import TransformersSession
from agents.prompts import Manner
from agents.quantized import keep_layout
from agents.tokenizers import load_tokenizer
from agents.types import EpisodeKey, Format
from envs.errors import InputError, first_line, is_out_of_memory, shortened
from envs.worlds import Players

_FULL_ATTENTION = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Sampling:
    """How replies are sampled.

    Attributes:
        temperature: divides the logits; 0 takes the most likely token.
        max_reply_tokens: a reply is cut off after this many tokens.
    """

    temperature: float = 1.0
    max_reply_tokens: int = 24

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: a value is out of range.
        """
        if not self.temperature >= 0:
            raise InputError(f"temperature={self.temperature} must be 0 or more.")
        if self.max_reply_tokens < 1:
            raise InputError(f"max_reply_tokens={self.max_reply_tokens} must be 1 or more.")


class TransformersPolicy:
    """A language model that plays.

    Attributes:
        name: what it is called in tables and files.
        format: WHOLE in worlds of free text, else PLAIN or CHAT, by the tokenizer.
        model: the model; its weights are read where they are.
        dialogue: turns text into ids and back.
        sampling: how replies are sampled.
        max_context: tokens an episode may have.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        sampling: Sampling,
        *,
        name: str = "transformers",
        max_context: int | None = None,
        manner: Manner | None = None,
    ) -> None:
        """Wraps a loaded model.

        Args:
            model: any decoder-only causal language model with ordinary attention.
            tokenizer: its tokenizer.
            sampling: how replies are sampled.
            name: what the policy is called.
            max_context: a lower limit of an episode's tokens than the model's own.
            manner: how the worlds are spoken to that it plays; by default as `TextEnv` says.

        Raises:
            InputError: the model keeps another state than keys and values, its context has no length, or the tokenizer
                marks no end of a reply.
        """
        config = model.config.get_text_config()
        other = set(getattr(config, "layer_types", None) or ()) - _FULL_ATTENTION
        if other:
            raise InputError(
                f"model {name} has {', '.join(sorted(other))} layers; a model with full attention is needed."
            )
        self.name = name
        self.model = model
        self.dialogue = Dialogue(tokenizer, manner)
        self.format = Format.WHOLE if manner and manner.free_text else self.dialogue.format
        self.sampling = sampling
        windows = [max_context, config.max_position_embeddings, getattr(config, "sliding_window", None)]
        known = [window for window in windows if window]
        if not known:
            raise InputError(f"model {name}: its config.json should say how long an episode may be, and does not.")
        self.max_context = min(known)

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> TransformersSession:
        """Starts a batch of conversations, row i keyed by `keys[i]`."""
        return TransformersSession(self, keys)


def load(
    path: str,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    quantization: Any = None,  # noqa: ANN401
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a model and its tokenizer.

    Args:
        path: a folder, or a hub id such as "Qwen/Qwen2.5-1.5B-Instruct". A folder is read without asking the network.
        device: where the model goes.
        dtype: what its weights become.
        quantization: how frozen weights are rounded (`agents.quantized.settings`), if they are.

    Returns:
        The model, ready for inference, and the tokenizer.

    Raises:
        InputError: there is no such folder or model, or its weights are missing or not in safetensors.
    """
    path = locate_model(path)
    announce_download(path)
    local = Path(path).is_dir()
    verbosity = logging.get_verbosity()
    # What is wrong with the weights is said below, in one line.
    logging.set_verbosity_error()
    try:
        tokenizer = load_tokenizer(path, local=local)
        loaded = AutoModelForCausalLM.from_pretrained(
            path,
            local_files_only=local,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            attn_implementation="sdpa",
            output_loading_info=True,
            # They are refused below, by their names.
            ignore_mismatched_sizes=True,
            # Rounded weights cannot be moved afterwards.
            **({} if quantization is None else {"quantization_config": quantization, "device_map": {"": device}}),
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # A broken folder makes the libraries raise anything; what they say of it on purpose needs no kind.
        kind = "" if isinstance(error, OSError | ValueError | SafetensorError) else f"{type(error).__name__}: "
        raise InputError(f"the model {path} cannot be loaded: {kind}{shortened(first_line(error), 300)}") from error
    finally:
        logging.set_verbosity(verbosity)
    model, report = cast("tuple[PreTrainedModel, dict[str, Any]]", loaded)
    _check_weights(path, report)
    if quantization is None:
        model.to(device)  # type: ignore[arg-type]
    else:
        keep_layout(model)
    return model.eval(), tokenizer


def _check_weights(path: str, report: Mapping[str, Any]) -> None:
    """Makes sure that a model has all its weights, in the shapes that its configuration says.

    Raises:
        InputError: it has not.
    """
    if report["missing_keys"]:
        # The library would go on with random values there.
        missing = sorted(report["missing_keys"])
        raise InputError(f"the model {path}: its weights lack {len(missing)} tensors, for example {missing[0]}.")
    if report["mismatched_keys"]:
        name, found, wanted = sorted(report["mismatched_keys"])[0]
        raise InputError(
            f"the model {path}: {len(report['mismatched_keys'])} of its weights have other shapes than its config.json "
            f"says, for example {name}: {tuple(found)} and not {tuple(wanted)}."
        )
