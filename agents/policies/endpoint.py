"""A language model behind an endpoint (`agents.completions`) as a policy.

An episode is a conversation: each observation a user message that lists the admissible commands, each reply an
assistant message, in the words and with the reading of other chat models (`agents.prompts`, `agents.parsing`). A reply
is asked for with the temperature and a seed that is the turn's own; how far a service honours the seed is its own
affair. Many replies are waited for at a time, each in a thread of its own, and whoever has been answered plays on.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from agents.calls import Calls
from agents.completions import Answer, Endpoint, EndpointError
from agents.draws import turn_seed
from agents.parsing import parse
from agents.prompts import Manner, message, recalled
from agents.types import EpisodeKey, Format, Reply
from envs.types import Info
from envs.worlds import Players

_GRACE_SECONDS = 5.0


class EndpointPolicy:
    """A model behind an endpoint that plays.

    Attributes:
        name: the model's name there.
        format: CHAT, or WHOLE in worlds of free text.
        endpoint: the service.
        temperature: of its replies.
        manner: how the worlds are spoken to.
    """

    def __init__(self, endpoint: Endpoint, concurrency: int, temperature: float, manner: Manner) -> None:
        """Wraps an endpoint.

        Args:
            endpoint: the service.
            concurrency: requests at a time.
            temperature: 0 takes the most likely token.
            manner: how the worlds are spoken to.
        """
        self.name = endpoint.model
        self.format = Format.WHOLE if manner.free_text else Format.CHAT
        self.endpoint, self.temperature, self.manner = endpoint, temperature, manner
        self.slots = threading.Semaphore(concurrency)

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> EndpointSession:
        """Starts a batch of conversations, row i keyed by `keys[i]`."""
        return EndpointSession(self, keys)


@dataclass(slots=True)
class _Talk:
    """One conversation: what was said so far, and the observation that waits for a reply."""

    messages: list[dict[str, str]] = field(default_factory=list)
    past: list[tuple[str, str]] = field(default_factory=list)
    observation: str = ""


class EndpointSession:
    """The running conversations with an endpoint."""

    def __init__(self, policy: EndpointPolicy, keys: Sequence[EpisodeKey]) -> None:
        """Starts without conversations."""
        self._policy = policy
        self._keys = keys
        self._talks: dict[int, _Talk] = {}
        self._calls = Calls[Answer](policy.slots)

    def ask(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> None:
        """Sends each row's newest observation."""
        for row, observation, info in zip(rows, observations, infos, strict=True):
            talk = self._talks.setdefault(row, _Talk())
            turn = len(talk.past)
            messages = self._told(talk, observation, info)
            # Some services take seeds of 32 bits only.
            seed = turn_seed(self._keys[row], turn) & 0x7FFFFFFF
            complete = self._policy.endpoint.complete
            self._calls.begin(row, partial(complete, messages, self._policy.temperature, seed))

    def listen(self) -> dict[int, Reply]:
        """Returns the replies that have come, at least one.

        Raises:
            EndpointError: a request got no answer within its deadline.
            InputError: the service refuses one.
        """
        deadline = self._policy.endpoint.deadline + _GRACE_SECONDS
        try:
            # Each request under way ends within its own deadline, unless its answer comes in drops without end.
            answers = self._calls.ended(deadline)
        except TimeoutError:
            raise EndpointError(
                f"policy.url={self._policy.endpoint.url}: none of {len(self._calls.waiting)} requests was answered "
                f"within {deadline:g} s. What was played is kept with out=DIR, and the same command goes on."
            ) from None
        return {row: self._heard(row, answer) for row, answer in answers.items()}

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        """Sends each row's newest observation and waits for all replies."""
        self.ask(rows, observations, infos)
        found: dict[int, Reply] = {}
        while self._calls.waiting:
            found |= self.listen()
        return [found[row] for row in rows]

    def drop(self, rows: Sequence[int]) -> None:
        """Forgets the conversations of rows that have ended."""
        for row in rows:
            self._talks.pop(row, None)

    def _told(self, talk: _Talk, observation: str, info: Info) -> list[dict[str, str]]:
        """The conversation with its newest message."""
        manner, commands, turn = self._policy.manner, info["admissible_commands"], len(talk.past)
        talk.observation = observation
        if manner.window is not None:
            past = talk.past[max(turn - manner.window, 0) :]
            text = recalled(observation, info["goal"], past, turn, Format.CHAT)
            talk.messages = []
        else:
            text = observation
        first = manner.instructions if not talk.messages else ""
        talk.messages.append({"role": "user", "content": message(text, commands, Format.CHAT, first)})
        return list(talk.messages)

    def _heard(self, row: int, answer: Answer) -> Reply:
        talk = self._talks[row]
        if answer.too_long:
            return Reply("", out_of_context=True)
        talk.messages.append({"role": "assistant", "content": answer.text})
        talk.past.append((talk.observation, parse(answer.text, self._policy.format).action))
        return Reply(answer.text, sampled=answer.tokens)
