"""A causal language model as a policy.

A session samples the replies of many episodes together. Keys and values of everything read and said stay in a cache
across turns, so each turn costs the new tokens only, where reading the transcript again would cost all of it each
time. Rows keep their own positions (see `agents.policies.ragged`); the cache is kept with the rows that still speak at
its front, so that those which have ended cost next to nothing.

Every token is drawn from its own keyed number (see `agents.draws`). Results are the same for any batch size, up to
rounding: a matrix product of another shape may differ in the last bit, and a draw that falls that close to a border
may then differ.

The policy reads the weights where they are: when a trainer changes them, the next session plays the new policy.
Left out: beams, top-k and top-p (a gradient estimate wants the distribution itself), and constrained decoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from agents.dialogue import Dialogue
from agents.draws import uniforms
from agents.models import locate_model
from agents.policies.packing import plan_chunks
from agents.policies.ragged import RaggedCache, ragged
from agents.policies.sampling import draw_tokens
from agents.policies.slots import Slots
from agents.prompts import Manner
from agents.types import EpisodeKey, Format, Reply
from envs.errors import InputError
from envs.types import Info
from envs.worlds import Players

# Tokens read in one forward pass: enough to keep any processor busy, few enough to bound the memory of the activations.
_READ_AT_ONCE = 8192
# While at least this share of the rows still speaks, those that have ended are computed along: picking rows out copies
# their keys.
_SHARE_SPEAKING = 2 / 3
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
            InputError: the model keeps another state than keys and values, or the tokenizer marks no end of a reply.
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
        self.max_context = min(window for window in windows if window)

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> TransformersSession:
        """Starts a batch of conversations, row i keyed by `keys[i]`."""
        return TransformersSession(self, keys)


@dataclass(slots=True)
class _Row:
    """One conversation: its key, its turns so far and its last sampled id, which the cache lacks."""

    key: EpisodeKey
    turn: int = 0
    last: int | None = None


class TransformersSession:
    """The running conversations of one policy."""

    def __init__(self, policy: TransformersPolicy, keys: Sequence[EpisodeKey]) -> None:
        """Starts without rows; a row enters the cache with its first reply."""
        config = policy.model.config.get_text_config()
        self._policy = policy
        self._keys = keys
        self._rows: dict[int, _Row] = {}
        self._cache = RaggedCache(config.num_hidden_layers)
        self._slots = Slots(self._cache)
        # Families without grouped queries do not name a number of key heads.
        key_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self._groups = config.num_attention_heads // key_heads
        self._like = next(policy.model.parameters())

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        """Reads one observation a row and samples one reply a row.

        Args:
            rows: the rows that are asked, each at most once.
            observations: what the environment last said to each.
            infos: its `info`.

        Returns:
            One reply a row. A row whose prompt and longest reply would not fit the context gets none
            (`out_of_context`).
        """
        limit = self._policy.max_context - self._policy.sampling.max_reply_tokens
        prompts: dict[int, tuple[int, ...]] = {}
        for row, observation, info in zip(rows, observations, infos, strict=True):
            prompt = self._prompt(row, observation, info)
            if self._context(row) + len(prompt) <= limit:
                prompts[row] = prompt
        with _inference(self._policy.model):
            said = self._sample(prompts) if prompts else {}
        return [said[row] if row in said else Reply("", out_of_context=True) for row in rows]

    def drop(self, rows: Sequence[int]) -> None:
        """Frees the slots of rows that have ended."""
        for row in rows:
            if self._rows.pop(row, None) is not None:
                self._slots.free(row)

    def _prompt(self, row: int, observation: str, info: Info) -> tuple[int, ...]:
        state = self._rows.get(row)
        if state is None or state.last is None:
            return self._policy.dialogue.opening(observation, info["admissible_commands"])
        return self._policy.dialogue.bridge(observation, info["admissible_commands"], state.last)

    def _context(self, row: int) -> int:
        state = self._rows.get(row)
        return 0 if state is None else self._slots.length(row) + (state.last is not None)

    def _sample(self, prompts: Mapping[int, tuple[int, ...]]) -> dict[int, Reply]:
        """Reads the prompts and samples one reply for each."""
        most, stops = self._policy.sampling.max_reply_tokens, np.array(sorted(self._policy.dialogue.stops))
        for row in prompts:
            if row not in self._rows:
                self._rows[row] = _Row(self._keys[row])
                self._slots.take(row)
        asked = self._slots.bring_to_front(list(prompts))
        tokens: list[list[int]] = [[] for _ in asked]
        logprobs: list[list[float]] = [[] for _ in asked]
        logits = self._read(asked, prompts)
        places, speaking = np.arange(len(asked)), np.ones(len(asked), dtype=bool)
        table = np.stack([uniforms(self._rows[row].key, self._rows[row].turn, most) for row in asked])
        for position in range(most):
            drawn, likely = draw_tokens(logits, table[places, position], self._policy.sampling.temperature)
            for place, token, logprob in zip(places.tolist(), drawn.tolist(), likely.tolist(), strict=True):
                if speaking[place]:
                    tokens[place].append(token)
                    logprobs[place].append(logprob)
            speaking[places] &= ~np.isin(drawn, stops)
            if position + 1 == most or not speaking.any():
                break
            if speaking[places].mean() < _SHARE_SPEAKING:
                drawn, places = drawn[speaking[places]], np.flatnonzero(speaking)
            logits = self._forward(drawn, places, np.ones_like(places))
            self._slots.lengths[: len(asked)] += speaking
        said = zip(asked, tokens, logprobs, strict=True)
        return {row: self._finish(row, prompts[row], ids, values) for row, ids, values in said}

    def _finish(self, row: int, prompt: tuple[int, ...], tokens: list[int], logprobs: list[float]) -> Reply:
        state = self._rows[row]
        state.turn += 1
        state.last = tokens[-1]
        return Reply(self._policy.dialogue.text(tokens), prompt, tuple(tokens), tuple(logprobs))

    def _read(self, asked: Sequence[int], prompts: Mapping[int, tuple[int, ...]]) -> torch.Tensor:
        """Feeds each row its last sampled id and its prompt; returns the next logits (R, V) in order of slot."""
        chunks = []
        for row in asked:
            last = self._rows[row].last
            chunks.append(prompts[row] if last is None else (last, *prompts[row]))
        widths = np.array([len(chunk) for chunk in chunks])
        order = np.argsort(widths, kind="stable")
        logits = []
        for part in _portions(order, widths):
            ids = np.array([id for place in part.tolist() for id in chunks[place]])
            logits.append(self._forward(ids, part, widths[part]))
            self._slots.lengths[part] += widths[part]
        return torch.cat(logits)[torch.from_numpy(np.argsort(order)).to(self._like.device)]

    def _forward(self, ids: NDArray[np.int64], slots: NDArray[np.int64], widths: NDArray[np.int64]) -> torch.Tensor:
        starts = self._slots.lengths[slots]
        plan = plan_chunks(slots, starts, widths, self._groups, self._like)
        self._cache.reserve(len(self._slots), int((starts + widths).max()))
        self._cache.prepare(plan)
        output = self._policy.model(
            input_ids=torch.from_numpy(ids[None]).to(self._like.device),
            attention_mask=plan.buckets[0].mask,
            position_ids=plan.positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=plan.last,
            plan=plan,
        )
        logits: torch.Tensor = output.logits[0]
        return logits


def load(
    path: str, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a model and its tokenizer.

    Args:
        path: a folder, or a hub id such as "Qwen/Qwen2.5-1.5B-Instruct". A folder is read without asking the network.
        device: where the model goes.
        dtype: what its weights become.

    Returns:
        The model, ready for inference, and the tokenizer.

    Raises:
        InputError: there is no such folder or model, or its weights are missing or not in safetensors.
    """
    path = locate_model(path)
    local = Path(path).is_dir()
    verbosity = logging.get_verbosity()
    # What is wrong with the weights is said below, in one line.
    logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=local, trust_remote_code=False)
        loaded = AutoModelForCausalLM.from_pretrained(
            path,
            local_files_only=local,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"model={path} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
    model, report = cast("tuple[PreTrainedModel, dict[str, Any]]", loaded)
    if report["missing_keys"]:
        # The library would go on with random values there.
        missing = sorted(report["missing_keys"])
        raise InputError(f"model={path}: its weights lack {len(missing)} tensors, for example {missing[0]}.")
    model.to(device)  # type: ignore[arg-type]
    return model.eval(), tokenizer


@contextmanager
def _inference(model: PreTrainedModel) -> Iterator[None]:
    training = model.training
    if training:
        model.eval()
    try:
        with torch.inference_mode(), ragged(model):
            yield
    finally:
        if training:
            model.train()


def _portions(order: NDArray[np.int64], widths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cuts rows into runs of at most `_READ_AT_ONCE` tokens, of one row at least."""
    start = total = 0
    for end, place in enumerate(order.tolist()):
        if total and total + widths[place] > _READ_AT_ONCE:
            yield order[start:end]
            start, total = end, 0
        total += int(widths[place])
    yield order[start:]
