"""The plain way to sample a conversation: `generate()` on the whole history, again at every turn.

It is what the cache of `agents.policies.session` is measured against (`python -m evals.speed`): the same prompts, id
for id, padded on the left to one length, read from the start each turn. Greedily both say the same, up to rounding.
Left out: log-probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch

from agents.policies.transformers import TransformersPolicy
from agents.types import EpisodeKey, Reply
from envs.types import Info
from envs.worlds import Players


class RereadingPolicy:
    """A language model that reads everything again at each turn.

    Attributes:
        name: what it is called.
        format: how its replies are read.
        policy: the policy whose model, dialogue and sampling it uses.
    """

    def __init__(self, policy: TransformersPolicy) -> None:
        """Wraps a policy."""
        self.name = f"{policy.name}, re-reading"
        self.format = policy.format
        self.policy = policy

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> RereadingSession:
        """Starts a batch of conversations."""
        return RereadingSession(self.policy)


class RereadingSession:
    """The running conversations of such a policy."""

    def __init__(self, policy: TransformersPolicy) -> None:
        """Starts without rows."""
        self._policy = policy
        self._read: dict[int, list[int]] = {}

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        """Reads each row's history and its newest observation, and samples one reply a row."""
        dialogue, sampling = self._policy.dialogue, self._policy.sampling
        prompts: dict[int, tuple[int, ...]] = {}
        for row, observation, info in zip(rows, observations, infos, strict=True):
            commands, before = info["admissible_commands"], self._read.get(row, [])
            prompt = (
                dialogue.bridge(observation, commands, before[-1])
                if before
                else dialogue.opening(observation, commands)
            )
            if len(before) + len(prompt) + sampling.max_reply_tokens <= self._policy.max_context:
                prompts[row] = prompt
                self._read[row] = [*before, *prompt]
        said = dict(zip(prompts, self._generate(list(prompts)), strict=True)) if prompts else {}
        for row, tokens in said.items():
            self._read[row] += tokens
        replies = {row: Reply(dialogue.text(tokens), prompts[row], tuple(tokens)) for row, tokens in said.items()}
        return [replies.get(row, Reply("", out_of_context=True)) for row in rows]

    def drop(self, rows: Sequence[int]) -> None:
        """Forgets rows that have ended."""
        for row in rows:
            self._read.pop(row, None)

    def _generate(self, rows: Sequence[int]) -> list[list[int]]:
        policy, histories = self._policy, [self._read[row] for row in rows]
        longest, stops = max(map(len, histories)), sorted(policy.dialogue.stops)
        tokens = torch.full((len(rows), longest), stops[0])
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for place, history in enumerate(histories):
            tokens[place, longest - len(history) :] = torch.tensor(history)
            mask[place, longest - len(history) :] = 1
        greedy = policy.sampling.temperature == 0
        drawn = {"do_sample": True, "temperature": policy.sampling.temperature, "top_k": 0, "top_p": 1.0}
        with torch.inference_mode():
            made = cast("Any", policy.model).generate(
                tokens.to(policy.model.device),
                attention_mask=mask.to(policy.model.device),
                max_new_tokens=policy.sampling.max_reply_tokens,
                eos_token_id=stops,
                pad_token_id=stops[0],
                **({"do_sample": False} if greedy else drawn),
            )
        return [_until(row, set(stops)) for row in made[:, longest:].tolist()]


def _until(tokens: Sequence[int], stops: set[int]) -> list[int]:
    """Ids up to the first end, which is kept."""
    for place, token in enumerate(tokens):
        if token in stops:
            return list(tokens[: place + 1])
    return list(tokens)
