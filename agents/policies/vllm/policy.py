"""A causal language model as a policy that vLLM samples.

It plays as `agents.policies.transformers` does: the same prompts token for token, the whole distribution (no top-k, no
top-p), log-probabilities at the sampling temperature. A turn is drawn by a generator of its own, seeded from (seed,
iteration, task, member, turn), so what an episode draws does not depend on the others; vLLM's rounding may, as its
batches differ. The turns of an episode share a prefix, which the engine finds in its cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agents.dialogue import Dialogue
from agents.draws import turn_seed
from agents.policies.conversation import Conversation, too_long
from agents.policies.synced import SyncError, SyncReport
from agents.policies.vllm.engine import Request, Sampled
from agents.policies.vllm.weights import SyncedWeights
from agents.prompts import Manner
from agents.types import EpisodeKey, Format, Reply
from envs.types import Info
from envs.worlds import Players

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from agents.policies.transformers import Sampling


class VllmPolicy:
    """A language model that plays through an engine with weights of its own.

    Attributes:
        name: what it is called in tables and files.
        format: as of a `TransformersPolicy`.
        model: the trainer's model, whose weights the engine must have.
        dialogue: turns text into ids and back.
        sampling: how replies are sampled.
        weights: the engine's weights; policies of one engine share them.
        max_context: tokens an episode may have.
    """

    def __init__(
        self,
        weights: SyncedWeights,
        tokenizer: PreTrainedTokenizerBase,
        sampling: Sampling,
        *,
        name: str = "vllm",
        manner: Manner | None = None,
    ) -> None:
        """Plays through a running engine.

        Args:
            weights: the engine's.
            tokenizer: the model's tokenizer.
            sampling: how replies are sampled.
            name: what the policy is called.
            manner: how the worlds are spoken to that it plays; by default as `TextEnv` says.

        Raises:
            InputError: the tokenizer marks no end of a reply.
        """
        self.name = name
        self.weights = weights
        self.model: PreTrainedModel = weights.model
        self.dialogue = Dialogue(tokenizer, manner)
        self.format = Format.WHOLE if manner and manner.free_text else self.dialogue.format
        self.sampling = sampling
        self.max_context = weights.engine.max_context

    @property
    def version(self) -> int:
        """The version of the weights that the engine is proven to have."""
        return self.weights.version

    def sync(self, weights: Mapping[str, torch.Tensor], version: int) -> SyncReport:
        """Gives the engine new weights and proves that it has them (see `agents.policies.synced`)."""
        return self.weights.sync(weights, version)

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> VllmSession:
        """Starts a batch of conversations, row i keyed by `keys[i]`.

        Raises:
            SyncError: the engine's weights are not those of the model.
        """
        self.weights.check()
        return VllmSession(self, keys)


class VllmSession:
    """The running conversations of such a policy."""

    def __init__(self, policy: VllmPolicy, keys: Sequence[EpisodeKey]) -> None:
        """Starts without rows.

        Args:
            policy: whose conversations they are.
            keys: of the rows.
        """
        self._policy = policy
        self._keys = keys
        self._version = policy.version
        self._rows: dict[int, Conversation] = {}
        self._read: dict[int, tuple[int, ...]] = {}

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        """Reads one observation a row and samples one reply a row (see `agents.policies.session`).

        Raises:
            SyncError: the weights have changed since the conversations began.
            InputError: none of the very first prompts fits.
        """
        self._policy.weights.check()
        if self._policy.version != self._version:
            raise SyncError(
                f"these conversations began with weights {self._version}, the engine has {self._policy.version}: "
                "their samples are stale."
            )
        dialogue, limit = self._policy.dialogue, self._policy.max_context - self._policy.sampling.max_reply_tokens
        prompts: dict[int, tuple[int, ...]] = {}
        for row, observation, info in zip(rows, observations, infos, strict=True):
            read = self._read.get(row, ())
            prompt = self._conversation(row).prompt(dialogue, observation, info, read[-1] if read else None)
            if len(read) + len(prompt) <= limit:
                prompts[row] = prompt
        if not prompts and not self._read and not any(state.turn for state in self._rows.values()):
            lengths = [
                len(self._rows[row].prompt(dialogue, observation, info, None))
                for row, observation, info in zip(rows, observations, infos, strict=True)
            ]
            raise too_long(min(lengths), self._policy.max_context, self._policy.sampling.max_reply_tokens)
        said = self._policy.weights.engine.sample([self._request(row, prompts[row]) for row in prompts])
        replies = {row: self._finish(row, prompts[row], one) for row, one in zip(prompts, said, strict=True)}
        for row, observation in zip(rows, observations, strict=True):
            if row in replies:
                self._rows[row].note(dialogue, observation, replies[row].text, self._policy.format)
        return [replies.get(row, Reply("", out_of_context=True)) for row in rows]

    def drop(self, rows: Sequence[int]) -> None:
        """Forgets rows that have ended; their blocks in the engine's cache are reused in time."""
        for row in rows:
            self._rows.pop(row, None)
            self._read.pop(row, None)

    def _conversation(self, row: int) -> Conversation:
        return self._rows.setdefault(row, Conversation(self._keys[row]))

    def _request(self, row: int, prompt: tuple[int, ...]) -> Request:
        state, sampling = self._rows[row], self._policy.sampling
        return Request(
            tokens=(*self._read.get(row, ()), *prompt),
            seed=turn_seed(state.key, state.turn),
            temperature=sampling.temperature,
            max_tokens=sampling.max_reply_tokens,
            stops=sorted(self._policy.dialogue.stops),
        )

    def _finish(self, row: int, prompt: tuple[int, ...], said: Sampled) -> Reply:
        self._rows[row].turn += 1
        fresh = self._policy.dialogue.window is not None
        if not fresh:
            self._read[row] = (*self._read.get(row, ()), *prompt, *said.tokens)
        text = self._policy.dialogue.text(said.tokens)
        return Reply(text, prompt, said.tokens, said.logprobs, fresh=fresh)
