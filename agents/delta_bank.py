"""Many deltas on one base in one process, switched by request without loading anything again.

The base's weights stay where they are; a delta's tensors lie beside them, and switching points the model's parameters
at one or the other. That copies nothing, so it costs microseconds, and going back is exact. A conversation belongs to
the delta that it began with: its cached keys and values are that policy's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from agents import deltas
from agents.types import EpisodeKey, Format, Policy, Reply, Session
from envs.errors import InputError, unknown
from envs.types import Info
from envs.worlds import Players

BASE = "base"


class DeltaBank:
    """One model and the deltas that it can be switched to.

    Args:
        model: the base model, unchanged; whoever trains it meanwhile breaks the bank.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.base_sha256 = deltas.base_fingerprint(model)
        self._own = dict(model.named_parameters())
        self._originals = {name: value.data for name, value in self._own.items()}
        self._deltas: dict[str, dict[str, torch.Tensor]] = {BASE: {}}
        self.active = BASE

    @property
    def names(self) -> list[str]:
        """The base and the deltas, in the order in which they came."""
        return list(self._deltas)

    def add(self, name: str, path: Path) -> deltas.Card:
        """Loads a delta.

        Args:
            name: what to call it.
            path: its file.

        Returns:
            Its card.

        Raises:
            InputError: the name is taken, the file is no delta, or it belongs to another base.
        """
        tensors, card = deltas.load(path)
        self.put(name, tensors, card)
        return card

    def put(self, name: str, tensors: Mapping[str, torch.Tensor], card: deltas.Card) -> None:
        """Takes a delta that is in memory.

        Raises:
            InputError: the name is taken, or the delta belongs to another base.
        """
        if name in self._deltas:
            raise InputError(f"there is a delta {name!r} already; choose another name.")
        with self.using(BASE):
            deltas.check_fit(self.model, tensors)
        if card.base_sha256 != self.base_sha256:
            raise InputError(
                f"the delta was made for base {card.base_sha256[:12]}, this model is {self.base_sha256[:12]}."
            )
        self._deltas[name] = {key: value.to(self._originals[key].device) for key, value in tensors.items()}

    def changed(self, name: str) -> frozenset[str]:
        """The parameters that a delta changes; none for "base".

        Raises:
            InputError: there is no such delta.
        """
        if name not in self._deltas:
            raise unknown("delta", name, self._deltas)
        return frozenset(self._deltas[name])

    def result_sha256(self, name: str) -> str:
        """Fingerprint of the model with a delta laid over it: the base of what is trained on top of that."""
        with self.using(name):
            return deltas.base_fingerprint(self.model)

    def use(self, name: str) -> None:
        """Switches the model to a delta, or back to "base".

        Raises:
            InputError: there is no such delta.
        """
        if name == self.active:
            return
        self.changed(name)
        for key in self._deltas[self.active]:
            self._own[key].data = self._originals[key]
        for key, value in self._deltas[name].items():
            self._own[key].data = value
        self.active = name

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Switches the model for a while and then back to what it was."""
        before = self.active
        self.use(name)
        try:
            yield
        finally:
            self.use(before)


@dataclass
class DeltaPolicy:
    """A policy that plays with one of a bank's deltas, beside others on the same model.

    Attributes:
        policy: plays with the bank's model.
        bank: the deltas.
        delta: which one.
    """

    policy: Policy
    bank: DeltaBank
    delta: str

    @property
    def name(self) -> str:
        """What it is called in tables and files."""
        return self.delta

    @property
    def format(self) -> Format:
        """How its replies are to be read."""
        return self.policy.format

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> Session:
        """Starts a batch of conversations."""
        return _DeltaSession(self.policy.open(keys, players), self.bank, self.delta)


@dataclass
class _DeltaSession:
    """A session that is switched to its delta for every reply."""

    session: Session
    bank: DeltaBank
    delta: str

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        with self.bank.using(self.delta):
            return self.session.reply(rows, observations, infos)

    def drop(self, rows: Sequence[int]) -> None:
        self.session.drop(rows)
