"""The running conversations of a language model: what they read and say goes through one cache.

A session samples the replies of many episodes together. Keys and values of everything read and said stay in a cache
across turns, so each turn costs the new tokens only, where reading the transcript again would cost all of it each
time. Where each turn has a prompt of its own (`context=window:K`) its row is read from the start. Rows keep their own
positions (see `agents.policies.ragged`); the cache is kept with the rows that still speak at its front, so that those
which have ended cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from agents.draws import uniforms
from agents.parsing import parse
from agents.policies.packing import Plan, plan_chunks
from agents.policies.ragged import RaggedCache, ragged
from agents.policies.sampling import draw_tokens
from agents.policies.slots import Slots
from agents.prompts import recalled
from agents.types import EpisodeKey, Reply
from envs.types import Info

if TYPE_CHECKING:
    from agents.policies.transformers import TransformersPolicy

# Tokens read in one forward pass: enough to keep any processor busy, few enough to bound the memory of the activations.
_READ_AT_ONCE = 8192
# While at least this share of the rows still speaks, those that have ended are computed along: picking rows out copies
# their keys.
_SHARE_SPEAKING = 2 / 3


@dataclass(slots=True)
class _Row:
    """One conversation.

    Attributes:
        key: its key.
        turn: turns so far.
        unread: the ids at the end of its last reply that the cache lacks.
        past: what was seen and done in each turn, where prompts tell turns again.
    """

    key: EpisodeKey
    turn: int = 0
    unread: tuple[int, ...] = ()
    past: list[tuple[str, str]] = field(default_factory=list)


class Said(NamedTuple):
    """A sampled reply.

    Attributes:
        tokens: its ids, the end-of-reply token included.
        logprobs: the log-probability of each.
        unread: how many of them, at the end, the cache lacks.
    """

    tokens: list[int]
    logprobs: list[float]
    unread: int = 1


class TransformersSession:
    """The running conversations of one policy."""

    def __init__(
        self, policy: TransformersPolicy, keys: Sequence[EpisodeKey], cache: RaggedCache | None = None
    ) -> None:
        """Starts without rows; a row enters the cache with its first reply.

        Args:
            policy: whose conversations they are.
            keys: of the rows.
            cache: another than one of the model's blocks.
        """
        config = policy.model.config.get_text_config()
        self._policy = policy
        self._keys = keys
        self._rows: dict[int, _Row] = {}
        self._cache = RaggedCache(config.num_hidden_layers) if cache is None else cache
        self._slots = Slots(self._cache)
        self._window = policy.dialogue.window
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
        if self._window is not None:
            for row, observation in zip(rows, observations, strict=True):
                if row in said:
                    self._rows[row].past.append((observation, parse(said[row].text, self._policy.format).action))
        return [said[row] if row in said else Reply("", out_of_context=True) for row in rows]

    def drop(self, rows: Sequence[int]) -> None:
        """Frees the slots of rows that have ended."""
        for row in rows:
            if self._rows.pop(row, None) is not None:
                self._slots.free(row)

    def _prompt(self, row: int, observation: str, info: Info) -> tuple[int, ...]:
        state, dialogue = self._rows.get(row), self._policy.dialogue
        if self._window is not None and state is not None:
            self._slots.restart(row)
            state.unread = ()
            past = state.past[max(len(state.past) - self._window, 0) :]
            text = recalled(observation, info["goal"], past, len(state.past), dialogue.format)
            return dialogue.opening(text, info["admissible_commands"])
        if state is None or not state.unread:
            return dialogue.opening(observation, info["admissible_commands"])
        return dialogue.bridge(observation, info["admissible_commands"], state.unread[-1])

    def _context(self, row: int) -> int:
        state = self._rows.get(row)
        return 0 if state is None else self._slots.length(row) + len(state.unread)

    def _sample(self, prompts: Mapping[int, tuple[int, ...]]) -> dict[int, Reply]:
        """Reads the prompts and samples one reply for each."""
        asked = self._take(prompts)
        replies = self._speak(asked, self._read([(*self._rows[row].unread, *prompts[row]) for row in asked]))
        return {row: self._finish(row, prompts[row], said) for row, said in zip(asked, replies, strict=True)}

    def _take(self, prompts: Mapping[int, tuple[int, ...]]) -> list[int]:
        """Sees to it that the rows that are asked stand at the front of the cache; returns them in order of slot."""
        for row in prompts:
            if row not in self._rows:
                self._rows[row] = _Row(self._keys[row])
                self._slots.take(row)
        return self._slots.bring_to_front(list(prompts))

    def _speak(self, asked: Sequence[int], logits: torch.Tensor) -> list[Said]:
        """Samples a reply for each row, beginning with the logits (R, V) after its prompt."""
        most, stops = self._policy.sampling.max_reply_tokens, np.array(sorted(self._policy.dialogue.stops))
        said = [Said([], []) for _ in asked]
        places, speaking = np.arange(len(asked)), np.ones(len(asked), dtype=bool)
        table = np.stack([uniforms(self._rows[row].key, self._rows[row].turn, most) for row in asked])
        for position in range(most):
            drawn, likely = draw_tokens(logits, table[places, position], self._policy.sampling.temperature)
            for place, token, logprob in zip(places.tolist(), drawn.tolist(), likely.tolist(), strict=True):
                if speaking[place]:
                    said[place].tokens.append(token)
                    said[place].logprobs.append(logprob)
            speaking[places] &= ~np.isin(drawn, stops)
            if position + 1 == most or not speaking.any():
                break
            if speaking[places].mean() < _SHARE_SPEAKING:
                drawn, places = drawn[speaking[places]], np.flatnonzero(speaking)
            logits = self._forward(drawn, places, np.ones_like(places))
            self._slots.lengths[: len(asked)] += speaking
        return said

    def _finish(self, row: int, prompt: tuple[int, ...], said: Said) -> Reply:
        state = self._rows[row]
        state.turn += 1
        state.unread = tuple(said.tokens[-said.unread :])
        fresh = self._window is not None
        text = self._policy.dialogue.text(said.tokens)
        return Reply(text, prompt, tuple(said.tokens), tuple(said.logprobs), fresh=fresh)

    def _read(self, chunks: Sequence[Sequence[int]]) -> torch.Tensor:
        """Feeds the row in each of the first slots one id or more; returns the next logits (R, V)."""
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
        return self._logits(torch.from_numpy(ids[None]).to(self._like.device), plan)

    def _logits(self, ids: torch.Tensor, plan: Plan) -> torch.Tensor:
        """Runs the model on packed ids (1, N); the logits after each row's last one, (R, V)."""
        output = self._policy.model(
            input_ids=ids,
            attention_mask=plan.buckets[0].mask,
            position_ids=plan.positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=plan.last,
            plan=plan,
        )
        logits: torch.Tensor = output.logits[0]
        return logits


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
