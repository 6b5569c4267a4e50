"""What runs inside vLLM's worker: receiving a target's tensors, and reading loaded parameters back.

vLLM imports this module by name (`worker_extension_cls`). Importing it registers a weight-transfer engine, so that the
tensors take vLLM's own road for new weights: `start_weight_update` puts the checkpoint's layout back, `update_weights`
loads tensors by the plain model's names, `finish_weight_update` packs and fuses the layers that got any and leaves the
others alone. A layer is replaced as a whole: of a fused one all its parts must come, as they do for every target.

Left out: engines that split a layer over several processes.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from vllm.distributed.weight_transfer import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from agents.policies.vllm.digests import digest, size

BACKEND = "keystone"


@dataclass
class Rendezvous(WeightTransferInitInfo):  # type: ignore[misc]
    """Nothing has to be agreed on."""


@dataclass
class Update(WeightTransferUpdateInfo):  # type: ignore[misc]
    """Tensors on their way.

    Attributes:
        names: the plain model's parameter names.
        tensors: the tensors themselves, where sender and receiver share a process.
        dtypes: else their dtypes, such as "bfloat16",
        shapes: their shapes,
        encoded: and their bytes in base64.
    """

    names: list[str]
    tensors: list[torch.Tensor] | None = None
    dtypes: list[str] | None = None
    shapes: list[list[int]] | None = None
    encoded: list[str] | None = None

    def unpack(self) -> list[tuple[str, torch.Tensor]]:
        """The tensors by name."""
        if self.tensors is not None:
            return list(zip(self.names, self.tensors, strict=True))
        assert self.dtypes is not None
        assert self.shapes is not None
        assert self.encoded is not None
        return [
            (name, torch.frombuffer(bytearray(base64.b64decode(data)), dtype=getattr(torch, dtype)).reshape(shape))
            for name, dtype, shape, data in zip(self.names, self.dtypes, self.shapes, self.encoded, strict=True)
        ]


class Transfer(WeightTransferEngine):  # type: ignore[misc]
    """Receives tensors as they are, by reference or in base64.

    Attributes:
        received: SHA-256 of what the present update has received so far, by name.
        received_bytes: its size.
    """

    init_info_cls = Rendezvous
    update_info_cls = Update
    supports_draft_weight_update: ClassVar[bool] = False

    def init_transfer_engine(self, init_info: Rendezvous) -> None:
        """Nothing to prepare."""

    def start_weight_update(self) -> None:
        """Puts the checkpoint's layout back in place of packed and fused parameters."""
        self.received: dict[str, str] = {}
        self.received_bytes = 0
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Loads tensors. The base class also waits for an accelerator, which a CPU does not have."""
        self.receive_weights(self.parse_update_info(update_info))
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()

    def receive_weights(self, update_info: Update) -> None:
        """Notes what arrived and hands it to the model's own loader."""
        weights = [(name, tensor.to(self.device)) for name, tensor in update_info.unpack()]
        self.received |= {name: digest(tensor) for name, tensor in weights}
        self.received_bytes += sum(size(tensor) for _, tensor in weights)
        self.model.load_weights(weights)

    def finish_weight_update(self) -> None:
        """Packs and fuses what was loaded."""
        finalize_layerwise_reload(self.model, self.model_config)
        _pack_tied(self.model)

    def shutdown(self) -> None:
        """Nothing to end."""


def _pack_tied(model: nn.Module) -> None:
    """Packs the weights again that two layers share, a head and the embedding.

    The tensor was loaded through one of them; what a CPU kernel of the other has packed is a copy of the old values.
    """
    owners: dict[int, list[Any]] = {}
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.numel():
            owners.setdefault(weight.data_ptr(), []).append(module)
    for module in (one for sharing in owners.values() if len(sharing) > 1 for one in sharing):
        if hasattr(module, "cpu_linear"):
            module.quant_method.process_weights_after_loading(module)


# A second engine in the same process finds the name taken.
with contextlib.suppress(ValueError):
    WeightTransferEngineFactory.register_engine(BACKEND, Transfer)


class Extension:
    """Methods that vLLM adds to its worker's, called by name through `collective_rpc`."""

    weight_transfer_engine: Any
    model_runner: Any

    def keystone_receipt(self) -> dict[str, Any]:
        """What the last update received."""
        transfer = self.weight_transfer_engine
        return {"bytes": getattr(transfer, "received_bytes", 0), "digests": getattr(transfer, "received", {})}

    def keystone_digests(self, names: Sequence[str]) -> dict[str, str]:
        """SHA-256 of loaded parameters by the plain model's names; "" for one that cannot be read back."""
        model = self.model_runner.get_model()
        found = {name: read_back(model, name) for name in names}
        return {name: "" if tensor is None else digest(tensor) for name, tensor in found.items()}


def read_back(model: nn.Module, name: str) -> torch.Tensor | None:
    """A parameter as it is loaded, taken out of a fused or packed one if need be.

    Args:
        model: vLLM's model.
        name: the plain model's name of it, such as "model.layers.3.self_attn.q_proj.weight".

    Returns:
        The tensor in the plain model's shape, or None if this layer's layout is not known here.
    """
    modules = dict(model.named_modules())
    path, _, leaf = name.rpartition(".")
    if path in modules:
        return _loaded(modules[path], leaf)
    parent, _, child = path.rpartition(".")
    for fused, parts in getattr(model, "packed_modules_mapping", {}).items():
        module = modules.get(f"{parent}.{fused}")
        sizes = getattr(module, "output_sizes", None)
        if child in parts and module is not None and sizes is not None and len(sizes) == len(parts):
            whole = _loaded(module, leaf)
            return None if whole is None else torch.split(whole, list(sizes), dim=0)[parts.index(child)]
    return None


def _loaded(module: nn.Module, leaf: str) -> torch.Tensor | None:
    value = getattr(module, leaf, None)
    if not isinstance(value, torch.Tensor):
        return None
    if not value.numel():
        value = _unpacked(module, value) if leaf == "weight" else None
    rows = getattr(module, "org_vocab_size", None)
    return value if value is None or rows is None else value[:rows]


def _unpacked(module: nn.Module, like: torch.Tensor) -> torch.Tensor | None:
    """The matrix that a CPU kernel has packed into a form of its own: what it makes of the identity."""
    width, multiply = getattr(module, "input_size_per_partition", None), getattr(module, "cpu_linear", None)
    if width is None or multiply is None:
        return None
    identity = torch.eye(width, dtype=like.dtype, device=like.device)
    with torch.inference_mode():
        product: torch.Tensor = multiply(identity, like, None)
    return product.t().contiguous()
