"""The words of agents: turn, episode, group, and what a policy is.

A *turn* is what the agent saw, said and got. An *episode* is the turns of one task. A *group* is the episodes of the
same task. All draws are keyed by `EpisodeKey` plus turn and token, so results depend neither on batching nor on order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from envs.types import Info
from envs.worlds import Players


class StopReason(StrEnum):
    """Why an episode ended."""

    WON = "won"
    LOST = "lost"  # the environment ended it without success
    TURN_LIMIT = "turn_limit"
    CONTEXT = "context"  # it outgrew the model's context
    ERROR = "error"  # the environment failed; `Episode.error` says how


class Format(StrEnum):
    """How a policy writes its replies."""

    PLAIN = "plain"  # the command is the first line
    CHAT = "chat"  # the command stands in <action>...</action>
    WHOLE = "whole"  # all of the reply is the action


class EpisodeKey(NamedTuple):
    """Names one episode and keys every random draw in it."""

    seed: int
    iteration: int
    task: str
    member: int


class Reply(NamedTuple):
    """What a policy said in one turn.

    Attributes:
        text: the reply as text, without the end-of-reply token.
        prompt_tokens: ids appended to the context since the last sampled token (empty for scripted policies).
        tokens: the sampled ids, the end-of-reply token included.
        logprobs: log-probability of each sampled id at the sampling temperature, same length as `tokens`.
        out_of_context: True if the context had no room for this turn; then the other fields are empty.
        fresh: True if the prompt begins a sequence of its own, which holds nothing of earlier turns but what it tells.
        sampled: how many tokens were sampled, where their ids are not known.
    """

    text: str
    prompt_tokens: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    out_of_context: bool = False
    fresh: bool = False
    sampled: int | None = None


class Session(Protocol):
    """One batch of running conversations."""

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        """Gives each of the named rows its newest observation and returns one reply for each."""
        ...

    def drop(self, rows: Sequence[int]) -> None:
        """Tells the session that these rows have ended and will not be asked again."""
        ...


@runtime_checkable
class Streaming(Session, Protocol):
    """Running conversations in which nobody waits for the longest reply."""

    def ask(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> None:
        """Gives rows that are not speaking their newest observation; they begin to reply."""
        ...

    def listen(self) -> dict[int, Reply]:
        """Returns what some of the rows that were asked have said, of one at least; the others go on at the next call.

        To be called only while there are rows that were asked and not yet heard.
        """
        ...


class Policy(Protocol):
    """Anything that plays: a language model, an expert, a random player.

    Attributes:
        name: what it is called in tables and files.
        format: how its replies are to be read.
    """

    name: str
    format: Format

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> Session:
        """Starts a batch of conversations.

        Args:
            keys: row i is keyed by `keys[i]`. A row costs nothing before its first reply.
            players: the environments' own players of the running rows. Only scripted policies ask them.
        """
        ...


@dataclass(slots=True)
class Turn:
    """One turn.

    Attributes:
        observation: what the agent saw before it spoke.
        reply: all it said.
        action: the command parsed out of the reply and given to the environment.
        valid: whether the reply parsed and the world took the command (`Info.is_action_valid`) or had listed it.
        reward: what the environment paid.
        anchor: the state key in which the agent spoke.
        prompt_tokens: ids appended since the last sampled token.
        tokens: sampled ids.
        logprobs: their log-probabilities at the sampling temperature.
        fresh: whether the prompt begins a sequence of its own.
        sampled: how many tokens were sampled, where their ids are not known.
    """

    observation: str
    reply: str
    action: str
    valid: bool
    reward: float
    anchor: str
    prompt_tokens: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    fresh: bool = False
    sampled: int | None = None

    @property
    def num_tokens(self) -> int | None:
        """Number of sampled tokens; None where nothing was sampled, or nobody said how many."""
        return len(self.tokens) or self.sampled


@dataclass(slots=True)
class Episode:
    """The turns of one task and why they ended.

    Attributes:
        key: names the episode.
        turns: in play order.
        stop: why it ended.
        won: whether the goal was reached.
        task_type: the kind of task.
        goal: the task in words.
        policy_version: number of weight updates the policy had seen.
        error: what went wrong in the environment, if anything did.
        final_observation: what the environment said last.
        seconds: wall time from its reset to its end; no part of what makes two episodes equal.
    """

    key: EpisodeKey
    turns: list[Turn] = field(default_factory=list)
    stop: StopReason = StopReason.TURN_LIMIT
    won: bool = False
    task_type: str = ""
    goal: str = ""
    policy_version: int = 0
    error: str | None = None
    final_observation: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def total_reward(self) -> float:
        """Undiscounted sum of the rewards."""
        return sum(turn.reward for turn in self.turns)

    @property
    def num_sampled_tokens(self) -> int:
        """Number of ids the policy sampled."""
        return sum(len(turn.tokens) for turn in self.turns)


@dataclass(slots=True)
class Group:
    """G episodes of the same task, the unit of group advantages."""

    task: str
    episodes: list[Episode]
