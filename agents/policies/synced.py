"""Policies whose sampler has weights of its own, which must be told when the trainer's have changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from agents.types import Policy
from envs.errors import KeystoneError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from agents.policies.transformers import Sampling


class SyncError(KeystoneError):
    """The sampler does not have the weights it should have; nothing it says may be used."""


class SyncReport(NamedTuple):
    """What a sync did.

    Attributes:
        bytes: of tensors that the sampler received.
        seconds: it took, proofs included.
        read_back: how many of the tensors were read back out of the running engine; of the others only the receipt and
            the probe are known.
        gap: mean absolute difference of the probe's log-probabilities between sampler and trainer, in nats.
        moved: mean absolute change of the trainer's since the sync before, in nats; 0 where none succeeded
            before.
        moved_there: the same of the sampler's.
    """

    bytes: int
    seconds: float
    read_back: int
    gap: float
    moved: float
    moved_there: float


class ModelPolicy(Policy, Protocol):
    """A policy that plays a model's weights.

    Attributes:
        model: the model, the trainer's own.
        sampling: how replies are sampled.
    """

    model: PreTrainedModel
    sampling: Sampling


@runtime_checkable
class Synced(Protocol):
    """A policy whose sampler has weights of its own.

    Attributes:
        version: of the weights that the sampler is proven to have.
    """

    version: int

    def sync(self, weights: Mapping[str, torch.Tensor], version: int) -> SyncReport:
        """Gives the sampler new weights and proves that it has them.

        Args:
            weights: the changed tensors by the plain model's parameter names.
            version: what they are called from now on; samples carry it.

        Returns:
            What was done.

        Raises:
            SyncError: the sampler does not have them.
        """
        ...
