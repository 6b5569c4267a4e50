"""Log-probabilities of sampled tokens, without the logits of a whole vocabulary ever existing at once.

The output head runs inside the model's own forward, on the positions that predict a sampled token and on no others, in
chunks of a few positions. For position s with hidden state h, head W (V, D), bias b and temperature T

    log pi(y) = z_y - logsumexp(z),   z = (W h + b) / T,    d log pi(y) / dh = W^T (e_y - softmax(z)) / T,

so where W and b are frozen the gradient needs one vector a position, which the forward pass computes while it has the
chunk's logits; the backward pass scales it. The head then costs its forward and its input's gradient, which is the
least there is, and memory is that of one chunk. Where the head is trained, or the entropy carries a gradient, a chunk's
logits are computed again in the backward pass (activation checkpointing).

Models that do more to logits than their head does (softcapping, scaling) take the plain path: all logits of the
sampled positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from agents.prefix import FrozenPrefix, replaced

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from training.batches import MicroBatch

CHUNK_LOGITS = 2**24
"""Logits that exist at once: 64 MiB in float32."""
_FACTORS = ("logits_scaling", "logit_scale", "output_multiplier_scale", "lm_head_multiplier")
Pair = tuple[torch.Tensor, torch.Tensor]


def sampled_logprobs(
    model: PreTrainedModel,
    batch: MicroBatch,
    temperature: float,
    *,
    entropy_gradient: bool = False,
    prefix: FrozenPrefix | None = None,
    through: nn.Module | None = None,
) -> Pair:
    """Log-probabilities of the sampled tokens at the sampling temperature.

    Args:
        model: a causal language model; called at its root, so wrappers around it keep working.
        batch: the micro-batch.
        temperature: the temperature the tokens were sampled at.
        entropy_gradient: whether the entropies carry a gradient too.
        prefix: keeps what lies below the target; None runs the whole model.
        through: a wrapper of the model that is called in its place, so that it may exchange gradients.

    Returns:
        log pi of each sampled token, (S,), in float32, with gradient where the model has one; and the entropy at each,
        (S,) in nats.
    """
    # Padding is on the right, where causal attention lets no real token see it; a mask would only cost time.
    below = prefix.over([row.row.tokens for row in batch.rows], batch.tokens_BT) if prefix else nullcontext()
    root = model if through is None else through
    with below:
        if _shapes_logits(model):
            with head_on(model, batch.predicts_BT):
                logits = root(input_ids=batch.tokens_BT, use_cache=False).logits[0]
            return _plain(logits, batch.targets_S, temperature, entropy_gradient)
        with _chunked(model, batch, temperature, entropy_gradient) as found:
            root(input_ids=batch.tokens_BT, use_cache=False)
    return found[0]


@contextmanager
def head_on(model: PreTrainedModel, selected_BT: torch.Tensor) -> Iterator[None]:
    """Lets the output head see the selected positions only: (B, T, D) becomes (1, S, D)."""

    def gather(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0][selected_BT].unsqueeze(0), *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()


def _shapes_logits(model: PreTrainedModel) -> bool:
    config, head = model.config.get_text_config(), model.get_output_embeddings()
    if type(head) is not nn.Linear or getattr(config, "final_logit_softcapping", None) is not None:
        return True
    return any(getattr(config, name, None) not in (None, 1) for name in _FACTORS)


@contextmanager
def _chunked(
    model: PreTrainedModel, batch: MicroBatch, temperature: float, entropy_gradient: bool
) -> Iterator[list[Pair]]:
    """While it lasts, the head turns hidden states into what `sampled_logprobs` returns, left in the list."""
    head, found = cast("nn.Linear", model.get_output_embeddings()), list[Pair]()

    def forward(hidden_BTD: torch.Tensor) -> torch.Tensor:
        hidden_SD = hidden_BTD[batch.predicts_BT]
        trained = any(value.requires_grad for value in head.parameters())
        if torch.is_grad_enabled() and (trained or entropy_gradient):
            found.append(_recomputed(head, hidden_SD, batch.targets_S, temperature, entropy_gradient))
        else:
            pair: Pair = _FrozenHead.apply(hidden_SD, head.weight, head.bias, batch.targets_S, temperature)  # type: ignore[no-untyped-call]
            found.append(pair)
        # A copy, as wrappers hang their hooks on what a model puts out.
        return hidden_BTD[..., :1].clone()

    with replaced(head, forward):
        yield found


class _FrozenHead(torch.autograd.Function):
    """Log-probabilities and entropies of a frozen head, (S, D) -> (S,) and (S,); see the module's formulas."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        hidden_SD: torch.Tensor,
        weight_VD: torch.Tensor,
        bias_V: torch.Tensor | None,
        targets_S: torch.Tensor,
        temperature: float,
    ) -> Pair:
        needed = ctx.needs_input_grad[0]
        slopes_SD = torch.empty_like(hidden_SD) if needed else None
        parts = []
        for part in _chunks(hidden_SD, weight_VD):
            targets = targets_S[part]
            logits = linear(hidden_SD[part], weight_VD, bias_V).float()
            logprobs_SV = torch.log_softmax(logits / temperature, dim=-1)
            likely_SV = logprobs_SV.exp()
            chosen = logprobs_SV.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            parts.append((chosen, -logprobs_SV.mul_(likely_SV).sum(-1)))
            if slopes_SD is not None:
                slopes_SV = likely_SV.neg_()
                slopes_SV[torch.arange(len(targets), device=targets.device), targets] += 1.0
                slopes_SD[part] = slopes_SV.div_(temperature).to(weight_VD.dtype) @ weight_VD
        if slopes_SD is not None:
            ctx.save_for_backward(slopes_SD)
        logprobs, entropies = _joined(parts, hidden_SD)
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:  # noqa: ANN401
        (slopes_SD,) = ctx.saved_tensors
        return slopes_SD * gradients[0].to(slopes_SD.dtype).unsqueeze(-1), None, None, None, None


def _recomputed(
    head: nn.Linear, hidden_SD: torch.Tensor, targets_S: torch.Tensor, temperature: float, entropy_gradient: bool
) -> Pair:
    """The same with gradients of the head or of the entropies."""

    def of(hidden: torch.Tensor, targets: torch.Tensor) -> Pair:
        return _plain(linear(hidden, head.weight, head.bias), targets, temperature, entropy_gradient)

    parts = _chunks(hidden_SD, head.weight)
    if len(parts) == 1:
        return of(hidden_SD, targets_S)
    return _joined([checkpoint(of, hidden_SD[part], targets_S[part], use_reentrant=False) for part in parts], hidden_SD)


def _chunks(hidden_SD: torch.Tensor, weight_VD: torch.Tensor) -> list[slice]:
    size = max(1, CHUNK_LOGITS // weight_VD.shape[0])
    return [slice(start, start + size) for start in range(0, len(hidden_SD), size)]


def _joined(parts: list[Pair], hidden_SD: torch.Tensor) -> Pair:
    if not parts:
        nothing = hidden_SD.new_zeros(0, dtype=torch.float32)
        return nothing, nothing.clone()
    logprobs, entropies = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def _plain(logits_SV: torch.Tensor, targets_S: torch.Tensor, temperature: float, entropy_gradient: bool) -> Pair:
    logprobs_SV = torch.log_softmax(logits_SV.float() / temperature, dim=-1)
    chosen = logprobs_SV.gather(-1, targets_S.unsqueeze(-1)).squeeze(-1)
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        entropy = -(logprobs_SV.exp() * logprobs_SV).sum(-1)
    return chosen, entropy
