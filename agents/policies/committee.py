"""Several deltas of one base as one policy: a committee.

What lies below the lowest block that any member changes, the *prefix*, is the same for all, so it is computed once for
each token that all of them read and its keys and values are kept once. From there on every member runs with its own
weights and keeps keys and values of its own. All members read the same conversation; they decide

    average   token by token: the next one is drawn from the mean of the members' logits
    majority  reply by reply: each says its own, the action that most of them take is played (of equally many the
              first member's among them), and all go on from that reply. Where an action is a whole text, a program say,
              no two may be alike, and the first member decides.

The weights of one model are in memory, and beside them the deltas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import torch
from torch import nn

from agents.blocks import Stack, find_stack
from agents.delta_bank import DeltaBank
from agents.parsing import parse
from agents.policies.packing import Plan
from agents.policies.ragged import RaggedCache
from agents.policies.session import Said, TransformersSession
from agents.policies.transformers import TransformersPolicy
from agents.prefix import replaced
from agents.types import EpisodeKey
from envs.errors import InputError, unknown
from envs.worlds import Players

Vote = Literal["average", "majority"]


class Committee:
    """A policy of several deltas on one model.

    Attributes:
        name: what it is called in tables and files.
        format: how its replies are to be read.
        members: their names in the bank.
        vote: how they decide.
        policy: plays with the bank's model; says how replies are sampled.
        shared: the number of blocks that no member changes, from the lowest up.
    """

    def __init__(self, policy: TransformersPolicy, bank: DeltaBank, members: Sequence[str], vote: Vote) -> None:
        """Puts a committee together.

        Args:
            policy: plays with the bank's model.
            bank: the deltas.
            members: their names; one may sit more than once.
            vote: how they decide.

        Raises:
            InputError: there are no members, one is not in the bank, or there is no such vote.
        """
        if not members:
            raise InputError("a committee needs members.")
        if vote not in get_args(Vote):
            raise unknown("vote", vote, get_args(Vote))
        self.name = f"{vote} of {', '.join(members)}"
        self.policy, self.bank, self.members, self.vote = policy, bank, tuple(members), vote
        self.format = policy.format
        self.shared = _shared(find_stack(bank.model), bank, members)

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> CommitteeSession:
        """Starts a batch of conversations, row i keyed by `keys[i]`."""
        return CommitteeSession(self, keys)


def _shared(stack: Stack, bank: DeltaBank, members: Sequence[str]) -> int:
    """How many of the lowest blocks no member changes; none if what stands in no block is changed."""
    changed = frozenset[str]().union(*(bank.changed(name) for name in members))
    outside = [key for key in changed if not key.startswith(f"{stack.path}.")]
    touched = [index for index in range(len(stack)) if any(key.startswith(stack.prefix(index)) for key in changed)]
    return 0 if outside else min(touched, default=len(stack))


class _MembersCache(RaggedCache):
    """One cache for the prefix, and one for each member of what is above it.

    Attributes:
        member: the one whose keys and values are stored and returned now.
    """

    def __init__(self, num_blocks: int, shared: int, members: int) -> None:
        super().__init__(num_blocks + (members - 1) * (num_blocks - shared))
        self._own, self._shared = num_blocks - shared, shared
        self.member = 0

    def place(self, block: int) -> int:
        """Where the keys and values of a block are kept: those of the prefix in one place for all members."""
        return block + self.member * self._own if block >= self._shared else block


class _Prefix:
    """The lowest blocks of a model: run once, then passed over."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self._blocks = blocks
        self._outputs: list[Any] = [None] * len(blocks)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """While it lasts, what the blocks return is kept."""
        with ExitStack() as stack:
            for index, block in enumerate(self._blocks):
                stack.callback(block.register_forward_hook(self._keep(index)).remove)
            yield

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """While it lasts, the blocks do nothing but return what was kept."""
        with ExitStack() as stack:
            for index, block in enumerate(self._blocks):
                stack.enter_context(replaced(block, self._give(index)))
            yield

    def _keep(self, index: int) -> Any:  # noqa: ANN401 - a hook
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:  # noqa: ANN401
            self._outputs[index] = output

        return hook

    def _give(self, index: int) -> Any:  # noqa: ANN401 - a forward method
        return lambda *_args, **_kwargs: self._outputs[index]


class CommitteeSession(TransformersSession):
    """The running conversations of a committee."""

    def __init__(self, committee: Committee, keys: Sequence[EpisodeKey]) -> None:
        """Starts without rows."""
        model = committee.policy.model
        blocks = find_stack(model).modules
        count = len(committee.members)
        cache = _MembersCache(len(blocks), committee.shared, count)
        super().__init__(committee.policy, keys, cache)
        self._committee, self._members_cache = committee, cache
        self._prefix = _Prefix(blocks[: committee.shared])
        self._everyone = range(count)
        self._running: Sequence[int] = self._everyone

    def _logits(self, ids: torch.Tensor, plan: Plan) -> torch.Tensor:
        """The logits after each row's last id: (R, V) of one member or their mean, else (R, members, V)."""
        found: list[torch.Tensor] = []
        for member in self._running:
            way = self._prefix.replayed() if found else self._prefix.recorded()
            self._members_cache.member = member
            with self._committee.bank.using(self._committee.members[member]), way:
                found.append(super()._logits(ids, plan))
        if len(found) == 1:
            return found[0]
        together = torch.stack(found, dim=1)
        return together.mean(1) if self._committee.vote == "average" else together

    def _sample(self, prompts: Mapping[int, tuple[int, ...]]) -> None:
        """Reads the prompts and begins a reply to each; where replies are voted on, all of them are sampled at once."""
        if self._committee.vote == "average" or len(self._everyone) == 1:
            super()._sample(prompts)
            return
        rows = self._take(prompts)
        logits = self._read(rows)
        read, said = self._slots.lengths[self._slots.of(rows)], list[list[Said]]()
        try:
            for member in self._everyone:
                self._running = (member,)
                self._begin(rows, logits[:, member])
                self._advance(len(rows))
                said.append([self._through.pop(row) for row in rows])
                self._slots.lengths[self._slots.of(rows)] = read
        finally:
            self._running = self._everyone
        # Nobody's cache holds what another one said: all read it with the next prompt.
        for row, *ballots in zip(rows, *said, strict=True):
            winner = self._winner(ballots)
            self._through[row] = winner._replace(unread=len(winner.tokens))

    def _winner(self, ballots: Sequence[Said]) -> Said:
        dialogue, kind = self._committee.policy.dialogue, self._committee.format
        parsed = [parse(dialogue.text(said.tokens), kind) for said in ballots]
        votes: Mapping[str, int] = Counter(one.action for one in parsed)
        most = max(votes.values())
        elected = [(said, one) for said, one in zip(ballots, parsed, strict=True) if votes[one.action] == most]
        # Of several that won, or said it in other words, one in the form that was asked for.
        return next((said for said, one in elected if one.ok), elected[0][0])
