"""The running conversations of a language model: what they read and say goes through one cache.

A session samples the replies of many episodes together, continuously: as soon as some rows have said all they say,
their worlds can answer and they are read on, while the others speak on. Keys and values of everything read and said
stay in a cache across turns, so each turn costs the new tokens only, where reading the transcript again would cost all
of it each time. Where each turn has a prompt of its own (`context=window:K`) its row is read from the start. Rows keep
their own positions (see `agents.policies.ragged`); the cache is kept with the rows that still speak at its front, so
that those which have ended cost next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from agents.draws import uniforms
from agents.policies.conversation import Conversation, too_long
from agents.policies.packing import Plan, plan_chunks
from agents.policies.ragged import RaggedCache, next_logits, ragged
from agents.policies.sampling import draw_tokens
from agents.policies.slots import Slots
from agents.types import EpisodeKey, Reply
from envs.types import Info

if TYPE_CHECKING:
    from agents.policies.transformers import TransformersPolicy

# Tokens read in one forward pass: enough to keep any processor busy, few enough to bound the memory of the activations.
_READ_AT_ONCE = 8192
# While at least this share of the rows still speaks, those that have ended are computed along: picking rows out copies
# their keys.
_SHARE_SPEAKING = 2 / 3
# Rows are heard when this share of all is through: few enough that none waits for the longest reply, many enough that
# their worlds' answers are read together. With replies of 14 tokens on average and 69 at most, 64 episodes of 8 turns
# took 454 forward passes where all were heard at once, 267 with a half, 273 with a quarter, 303 with a tenth; the
# longest episode alone says 229 tokens. On ALFWorld, with 12 tokens at most, the time fell by a tenth.
_SHARE_HEARD = 1 / 2


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


@dataclass(slots=True)
class _Row(Conversation):
    """One conversation.

    Attributes:
        unread: the ids at the end of its last reply that the cache lacks.
        observation: what it was asked with last.
        told: the ids of that prompt.
        draws: the numbers that its reply is drawn with.
        said: its reply so far.
    """

    unread: tuple[int, ...] = ()
    observation: str = ""
    told: tuple[int, ...] = ()
    draws: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    said: Said = field(default_factory=lambda: Said([], []))


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
        # Rows in the midst of a reply, rows whose reply is whole, and replies to hand out as they are.
        self._speaking: dict[int, None] = {}
        self._through: dict[int, Said] = {}
        self._refused: dict[int, Reply] = {}
        self._begun = False
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

        Raises:
            InputError: none of the very first prompts fits.
        """
        self.ask(rows, observations, infos)
        heard: dict[int, Reply] = {}
        while len(heard) < len(rows):
            heard |= self._listen(len(rows))
        return [heard[row] for row in rows]

    def ask(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> None:
        """Reads one observation a row; the rows begin to reply. As `reply`, but `listen` has what they say."""
        limit = self._policy.max_context - self._policy.sampling.max_reply_tokens
        prompts: dict[int, tuple[int, ...]] = {}
        for row, observation, info in zip(rows, observations, infos, strict=True):
            prompt = self._prompt(row, observation, info)
            if self._context(row) + len(prompt) <= limit:
                prompts[row] = prompt
            else:
                self._refused[row] = Reply("", out_of_context=True)
        if not prompts and not self._begun:
            lengths = [len(self._prompt(*asked)) for asked in zip(rows, observations, infos, strict=True)]
            raise too_long(min(lengths), self._policy.max_context, self._policy.sampling.max_reply_tokens)
        self._begun = True
        with _inference(self._policy.model):
            if prompts:
                self._sample(prompts)
        for row, observation in zip(rows, observations, strict=True):
            if row in prompts:
                self._rows[row].observation = observation

    def listen(self) -> dict[int, Reply]:
        """Samples on until a share of the rows have said all they say; returns their replies."""
        asked = len(self._speaking) + len(self._through) + len(self._refused)
        return self._listen(math.ceil(_SHARE_HEARD * asked))

    def _listen(self, wanted: int) -> dict[int, Reply]:
        with _inference(self._policy.model):
            self._advance(wanted - len(self._refused))
        heard, self._refused = self._refused, {}
        heard |= {row: self._finish(row, said) for row, said in self._through.items()}
        self._through.clear()
        return heard

    def drop(self, rows: Sequence[int]) -> None:
        """Frees the slots of rows that have ended."""
        for row in rows:
            if self._rows.pop(row, None) is not None:
                self._slots.free(row)
                self._speaking.pop(row, None)
                self._through.pop(row, None)

    def _prompt(self, row: int, observation: str, info: Info) -> tuple[int, ...]:
        state, dialogue = self._rows.get(row), self._policy.dialogue
        if state is None:
            return Conversation(self._keys[row]).prompt(dialogue, observation, info, None)
        if self._window is not None:
            self._slots.restart(row)
            state.unread = ()
        return state.prompt(dialogue, observation, info, state.unread[-1] if state.unread else None)

    def _context(self, row: int) -> int:
        state = self._rows.get(row)
        return 0 if state is None else self._slots.length(row) + len(state.unread)

    def _sample(self, prompts: Mapping[int, tuple[int, ...]]) -> None:
        """Reads the prompts and begins a reply to each."""
        rows = self._take(prompts)
        self._begin(rows, self._read(rows))

    def _take(self, prompts: Mapping[int, tuple[int, ...]]) -> list[int]:
        """Sees to it that the rows have a place in the cache; returns them."""
        for row, prompt in prompts.items():
            if row not in self._rows:
                self._rows[row] = _Row(self._keys[row])
                self._slots.take(row)
            self._rows[row].told = prompt
        return list(prompts)

    def _begin(self, rows: Sequence[int], logits: torch.Tensor) -> None:
        """Begins a reply of each row with the logits (R, V) after its prompt."""
        most = self._policy.sampling.max_reply_tokens
        for row in rows:
            state = self._rows[row]
            state.said, state.draws = Said([], []), uniforms(state.key, state.turn, most)
            self._speaking[row] = None
        self._draw(rows, logits)

    def _draw(self, rows: Sequence[int], logits: torch.Tensor) -> None:
        """Draws the next id of each row that speaks, from the logits (R, V) of all rows."""
        sampling, stops = self._policy.sampling, self._policy.dialogue.stops
        states = [self._rows[row] for row in rows]
        last = sampling.max_reply_tokens - 1
        numbers = np.array([state.draws[min(len(state.said.tokens), last)] for state in states])
        drawn, likely = draw_tokens(logits, numbers, sampling.temperature)
        for row, state, token, logprob in zip(rows, states, drawn.tolist(), likely.tolist(), strict=True):
            if row in self._speaking:
                state.said.tokens.append(token)
                state.said.logprobs.append(logprob)
                if token in stops or len(state.said.tokens) > last:
                    del self._speaking[row]
                    self._through[row] = state.said

    def _advance(self, wanted: int) -> None:
        """Samples on until so many rows are through, or all."""
        front = self._slots.bring_to_front(list(self._speaking))
        while self._speaking and len(self._through) < wanted:
            speaking = np.array([row in self._speaking for row in front])
            slots = np.arange(len(front)) if speaking.mean() >= _SHARE_SPEAKING else np.flatnonzero(speaking)
            rows = [front[slot] for slot in slots.tolist()]
            ids = np.array([self._rows[row].said.tokens[-1] for row in rows])
            logits = self._forward(ids, slots, np.ones_like(slots))
            self._slots.lengths[: len(front)] += speaking
            self._draw(rows, logits)

    def _finish(self, row: int, said: Said) -> Reply:
        state, dialogue = self._rows[row], self._policy.dialogue
        text = dialogue.text(said.tokens)
        state.turn += 1
        state.unread = tuple(said.tokens[-said.unread :])
        state.note(dialogue, state.observation, text, self._policy.format)
        return Reply(text, state.told, tuple(said.tokens), tuple(said.logprobs), fresh=self._window is not None)

    def _read(self, rows: Sequence[int]) -> torch.Tensor:
        """Feeds each row what the cache lacks of its last reply, and its prompt; returns the next logits (R, V)."""
        chunks = [(*self._rows[row].unread, *self._rows[row].told) for row in rows]
        slots, widths = self._slots.of(rows), np.array([len(chunk) for chunk in chunks])
        # In order of slot where widths are equal: neighbours can be read without copying.
        order = np.lexsort((slots, widths))
        logits = []
        for part in _portions(order, widths):
            ids = np.array([id for place in part.tolist() for id in chunks[place]])
            logits.append(self._forward(ids, slots[part], widths[part]))
            self._slots.lengths[slots[part]] += widths[part]
        return torch.cat(logits)[torch.from_numpy(np.argsort(order)).to(self._like.device)]

    def _forward(self, ids: NDArray[np.int64], slots: NDArray[np.int64], widths: NDArray[np.int64]) -> torch.Tensor:
        starts = self._slots.lengths[slots]
        plan = plan_chunks(slots, starts, widths, self._groups, self._like)
        self._cache.reserve(len(self._slots), int((starts + widths).max()))
        self._cache.prepare(plan)
        return self._logits(torch.from_numpy(ids[None]).to(self._like.device), plan)

    def _logits(self, ids: torch.Tensor, plan: Plan) -> torch.Tensor:
        """Runs the model on packed ids (1, N); the logits after each row's last one, (R, V)."""
        return next_logits(self._policy.model, ids, plan, self._cache)


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
