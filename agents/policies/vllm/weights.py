"""Keeping an engine's weights those of the trainer, and proving it.

A sync sends the changed tensors only. Then three things must hold before anything is sampled: as many bytes arrived as
the tensors have; every tensor, read back out of the running engine where its layout allows, has the checksum of the
trainer's; and a fixed prompt, scored by engine and trainer before and after, gives the same log-probabilities and has
changed in the engine as it did in the trainer. A sync that fails leaves the engine unusable until one succeeds.

Whether the model has changed since is read off PyTorch's own count of in-place changes of each parameter, which every
optimizer step and every copy into a parameter raises; only writing through `.data` goes unseen.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from agents.policies.synced import SyncError, SyncReport
from agents.policies.vllm.digests import digest, size
from agents.policies.vllm.engine import Engine

_PROBE_TOKENS = 64
# In nats a token, over the probe's mean. Float32 engines differ from the trainer by rounding alone.
_TOLERANCE = {torch.float32: 1e-3}
_SHORT_TOLERANCE = 0.1


class SyncedWeights:
    """The weights of one engine, held to those of one model.

    Attributes:
        model: the trainer's model.
        engine: the engine.
        version: of the weights it is proven to have; -1 before the first sync.
    """

    def __init__(self, model: PreTrainedModel, engine: Engine) -> None:
        """Begins with an engine whose weights are unknown.

        Args:
            model: the trainer's model.
            engine: a running engine of the same configuration.
        """
        self.model = model
        self.engine = engine
        self.version = -1
        self._label = ""
        self._proven = False
        self._seen: dict[str, tuple[int, int]] = {}
        vocabulary = model.config.get_text_config().vocab_size
        length = min(_PROBE_TOKENS, engine.max_context - 1)
        self._probe = np.random.Philox(key=0).random_raw(length) % np.uint64(vocabulary)
        self._trainer: NDArray[np.float64] | None = None
        self._tolerance = _TOLERANCE.get(model.dtype, _SHORT_TOLERANCE)

    def refresh(self) -> SyncReport | None:
        """Sends whatever has changed in the model since the last sync; None if nothing has.

        Raises:
            SyncError: the engine does not have it.
        """
        changed = self._changed()
        if self._proven and not changed:
            return None
        own = dict(self.model.named_parameters())
        # Engines fuse layers that stand beside each other, and take a fused one as a whole.
        parents = {name.rpartition(".")[0].rpartition(".")[0] for name in changed}
        names = [name for name in own if name.rpartition(".")[0].rpartition(".")[0] in parents or not self._proven]
        return self.sync({name: own[name] for name in names}, self.version + 1)

    def sync(self, weights: Mapping[str, torch.Tensor], version: int) -> SyncReport:
        """Sends tensors and proves that the engine has them (see the module)."""
        started = time.perf_counter()
        # After a sync that failed the engine's state is anyone's guess, and no change can be told from it.
        before_there = self._score() if self._proven else None
        seen = self._counts()
        expected = {name: digest(tensor) for name, tensor in weights.items()}
        # Different for any two sets of weights, so that an engine which kept its old ones cannot pass.
        label = f"{version}:{hashlib.sha256(''.join(expected.values()).encode()).hexdigest()[:16]}"
        self._proven = False
        receipt = self.engine.send(weights, label)
        if not self.engine.reset_cache():
            raise SyncError("the engine kept keys and values of earlier weights: it is still sampling.")
        _compare_bytes(receipt.bytes, sum(size(tensor) for tensor in weights.values()))
        _compare_digests("received", receipt.digests, expected)
        loaded = {name: found for name, found in self.engine.digests(list(expected)).items() if found}
        _compare_digests("loaded", loaded, {name: expected[name] for name in loaded})
        report = self._compare_probe(before_there, receipt.bytes, len(loaded), started)
        sent = _Sent(weights)
        self._seen |= {name: count for name, count in seen.items() if name in sent}
        self._label, self.version, self._proven = label, version, True
        self.check()
        return report

    def check(self) -> None:
        """Makes sure that what the engine samples now is what the model would.

        Raises:
            SyncError: the weights have changed on either side since the last sync, or there was none that succeeded.
        """
        if not self._proven:
            raise SyncError("the engine's weights are not proven: no sync has succeeded since the last attempt.")
        changed = self._changed()
        if changed:
            raise SyncError(
                f"{len(changed)} tensors of the model, for example {changed[0]}, have changed since the last sync: "
                "the engine would sample with old weights."
            )
        self._check_label()

    def _check_label(self) -> None:
        found = self.engine.version()
        if found != self._label:
            raise SyncError(f"the engine is at weights {found!r}, the trainer at {self._label!r}.")

    def _counts(self) -> dict[str, tuple[int, int]]:
        return {name: (id(value), value._version) for name, value in self.model.named_parameters()}

    def _changed(self) -> list[str]:
        return [name for name, count in self._counts().items() if self._seen.get(name) != count]

    def _score(self) -> NDArray[np.float64]:
        return np.array(self.engine.score(self._probe.tolist()))

    @torch.no_grad()
    def _own_score(self) -> NDArray[np.float64]:
        tokens = torch.from_numpy(self._probe.astype(np.int64)).to(self.model.device)
        training = self.model.training
        self.model.eval()
        logprobs = self.model(input_ids=tokens[None], use_cache=False).logits[0].float().log_softmax(-1)
        self.model.train(training)
        chosen: NDArray[np.float64] = logprobs[:-1].gather(1, tokens[1:, None])[:, 0].double().cpu().numpy()
        return chosen

    def _compare_probe(
        self, before_there: NDArray[np.float64] | None, received: int, read_back: int, started: float
    ) -> SyncReport:
        before, there, here = self._trainer, self._score(), self._own_score()
        gap = _mean(there - here)
        if not gap <= self._tolerance:
            raise SyncError(
                f"the engine gives the probe other log-probabilities than the trainer, by {gap:.2g} nats a token on "
                f"average (allowed: {self._tolerance:g}): it does not have the trainer's weights."
            )
        self._trainer = here
        if before is None or before_there is None:
            return SyncReport(received, time.perf_counter() - started, read_back, gap, 0.0, 0.0)
        moved, moved_there = here - before, there - before_there
        astray = _mean(moved - moved_there)
        if astray > 2 * self._tolerance or (_mean(moved) > self._tolerance and not moved_there.any()):
            raise SyncError(
                f"the probe changed by {_mean(moved):.2g} nats a token in the trainer and by {_mean(moved_there):.2g} "
                "in the engine: the sync did not do what the trainer did."
            )
        return SyncReport(received, time.perf_counter() - started, read_back, gap, _mean(moved), _mean(moved_there))


class _Sent:
    """The parameters of the model whose effect was sent: merged adapters stand for all that lies in their layer."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self._names = set(weights)

    def __contains__(self, name: str) -> bool:
        parts = name.split(".")
        # An adapted layer's own weight is "LAYER.weight", its parts are "LAYER.base_layer.weight", "LAYER.lora_A...".
        layers = (".".join(parts[:count]) for count in range(1, len(parts) - 1))
        return name in self._names or any(f"{layer}.weight" in self._names for layer in layers)


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).mean())


def _compare_bytes(received: int, sent: int) -> None:
    if received != sent:
        raise SyncError(f"the engine received {received:,} bytes of the target's {sent:,}.")


def _compare_digests(what: str, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    wrong = sorted(name for name in expected if found.get(name) != expected[name])
    if wrong:
        raise SyncError(
            f"{len(wrong)} of {len(expected)} tensors that the engine {what} are not the trainer's, for example "
            f"{wrong[0]}."
        )
