"""Rows of different lengths in one forward pass, without padding and with a cache that outlives it.

The tokens of all rows are packed one after another into a batch of one, so that no linear layer ever sees padding.
Only attention knows rows: the cache writes each token's keys and values at that token's own row and position, and
queries are grouped by row. Each row's keys stay contiguous, slot s visible to the query at position t iff s <= t.

Any model of Transformers whose attention goes through `AttentionInterface` can run so. Query heads that share keys are
folded into the query axis, so keys and values are never repeated. On a CPU two batched matrix products are faster at
these sizes than the fused kernel; elsewhere the fused kernel is used. Left out: paging (a row's slots are contiguous)
and sliding windows (the policy ends an episode before a window would matter).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from agents.policies.packing import Bucket, Plan

ATTENTION = "keystone_ragged"
_FIRST_CAPACITY = 64


class _Layer(CacheLayerMixin):
    """Keys and values of one block, (slots, key heads, positions, head size) each."""

    is_sliding = False
    keys: torch.Tensor
    values: torch.Tensor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = key_states.new_zeros((0, key_states.shape[1], 0, key_states.shape[3]))
        self.values = value_states.new_zeros((0, value_states.shape[1], 0, value_states.shape[3]))
        self.is_initialized = True

    def grow(self, slots: int, capacity: int) -> None:
        if self.is_initialized and (self.keys.shape[0] < slots or self.keys.shape[2] < capacity):
            self.keys, self.values = _grown(self.keys, slots, capacity), _grown(self.values, slots, capacity)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: Any,  # noqa: ANN401 - the library's signature
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor]:
        places, slots, capacity = args
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.grow(slots, capacity)
        for stored, new in ((self.keys, key_states), (self.values, value_states)):
            stored.view(-1, new.shape[-1]).index_copy_(0, places, new.reshape(-1, new.shape[-1]))
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return int(self.keys.shape[2]) if self.is_initialized else 0

    def get_max_length(self) -> int:
        return -1


class RaggedCache(Cache):
    """Keys and values of rows that grow independently.

    A row lives in a *slot*. `prepare` names the tokens of the coming forward pass; `update`, called by the model,
    stores them.
    """

    def __init__(self, num_blocks: int) -> None:
        """Makes an empty cache for a model of `num_blocks` blocks; memory is taken when it is needed."""
        self._blocks = [_Layer() for _ in range(num_blocks)]  # type: ignore[no-untyped-call]
        super().__init__(layers=list(self._blocks))
        self._plan: Plan | None = None
        self._places: dict[int, torch.Tensor] = {}
        self._slots = 0
        self._capacity = 0

    def reserve(self, num_slots: int, length: int) -> None:
        """Sees to it that `num_slots` slots of at least `length` positions exist. Positions grow by doubling."""
        self._slots = max(self._slots, num_slots)
        while self._capacity < length:
            self._capacity = max(_FIRST_CAPACITY, 2 * self._capacity)

    def prepare(self, plan: Plan) -> None:
        """Names the tokens of the coming forward pass."""
        self._plan = plan
        self._places.clear()

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,  # noqa: ANN401 - the library's signature
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores the packed keys and values, (1, key heads, N, head size), and returns all there are."""
        places = self._find_places(key_states.shape[1])
        block = self._blocks[self.place(layer_idx)]
        return block.update(key_states, value_states, places, self._slots, self._capacity)

    def place(self, block: int) -> int:
        """Where the keys and values of a model's block are kept."""
        return block

    def _find_places(self, key_heads: int) -> torch.Tensor:
        """(key heads * N,) row of each packed key when slots, key heads and positions are one axis."""
        if self._plan is None:
            raise RuntimeError("prepare() names the tokens of a forward pass before it runs")
        if key_heads not in self._places:
            heads = torch.arange(key_heads, device=self._plan.slots.device)[:, None]
            rows = (self._plan.slots * key_heads + heads) * self._capacity + self._plan.positions
            self._places[key_heads] = rows.flatten()
        return self._places[key_heads]

    def swap(self, first: Sequence[int], second: Sequence[int], length: int) -> None:
        """Exchanges slots `first[i]` and `second[i]` for all i, up to `length` positions."""
        for layer in self._blocks:
            layer.grow(self._slots, self._capacity)
            for stored in (layer.keys, layer.values) if layer.is_initialized else ():
                part = stored[:, :, :length]
                order = torch.tensor([*first, *second], device=part.device)
                other = torch.tensor([*second, *first], device=part.device)
                part.index_copy_(0, order, part.index_select(0, other))


def ragged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    *,
    plan: Plan,
    **kwargs: Any,  # noqa: ANN401 - the library's signature
) -> tuple[torch.Tensor, None]:
    """Attention of packed queries over the whole cache.

    Args:
        module: the attention module that asks.
        query: (1, heads, N, head size).
        key: (slots, key heads, positions, head size), all that the cache holds.
        value: the same for values.
        attention_mask: not used; the plan has the masks.
        scaling: factor on the scores.
        plan: where the tokens belong.
        **kwargs: what other attention functions need.

    Returns:
        (1, N, heads, head size) and no weights.
    """
    packed = query[0].transpose(0, 1)
    parts = [_attend(packed[bucket.tokens], key, value, bucket, scaling) for bucket in plan.buckets]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[None], None


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bucket: Bucket, scaling: float
) -> torch.Tensor:
    heads, size = query.shape[1:]
    rows, width, key_heads = bucket.rows, bucket.width, key.shape[1]
    groups = heads // key_heads
    keys, values = _pick(key, bucket), _pick(value, bucket)
    padded = query if bucket.spread is None else query.index_select(0, bucket.spread)
    folded = padded.reshape(rows, width, key_heads, groups, size).transpose(1, 2)
    folded = folded.reshape(rows, key_heads, width * groups, size)
    out = _attention(folded, keys, values, bucket.mask, scaling)
    out = out.view(rows, key_heads, width, groups, value.shape[-1]).transpose(1, 2).reshape(rows * width, heads, -1)
    return out if bucket.gather is None else out.index_select(0, bucket.gather)


def _pick(stored: torch.Tensor, bucket: Bucket) -> torch.Tensor:
    seen = stored[:, :, : bucket.length]
    return seen[bucket.slots] if isinstance(bucket.slots, slice) else seen.index_select(0, bucket.slots)


def _attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    if query.device.type != "cpu" or query.dtype != torch.float32:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling).contiguous()
    rows, key_heads, width, _ = query.shape
    mask = mask.expand(-1, key_heads, -1, -1).flatten(0, 1) if key_heads > 1 else mask[:, 0]
    scores = torch.baddbmm(mask, query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), alpha=scaling)
    return torch.bmm(scores.softmax(-1), value.flatten(0, 1)).view(rows, key_heads, width, -1)


@contextmanager
def ragged(model: PreTrainedModel) -> Iterator[None]:
    """Lets the model attend by plan while the context lasts; outside it the model is as it was."""
    before = model.config._attn_implementation
    model.config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        model.config._attn_implementation = before


def next_logits(forward: Callable[..., Any], ids: torch.Tensor, plan: Plan, cache: RaggedCache) -> torch.Tensor:
    """Runs a model, under `ragged`, on packed ids (1, N); the logits after each row's last one, (R, V).

    Args:
        forward: the model, or what stands for its forward pass.
        ids: of all rows, one behind the other, on the model's device.
        plan: which row and position each belongs to.
        cache: with room for them, and prepared for that plan.
    """
    logits: torch.Tensor = forward(
        input_ids=ids,
        attention_mask=plan.buckets[0].mask,
        position_ids=plan.positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=plan.last,
        plan=plan,
    ).logits[0]
    return logits


def _grown(stored: torch.Tensor, slots: int, capacity: int) -> torch.Tensor:
    # Zeros, because a masked entry is multiplied by zero and must not be a stray infinity.
    grown = stored.new_zeros((slots, stored.shape[1], capacity, stored.shape[3]))
    grown[: stored.shape[0], :, : stored.shape[2]] = stored
    return grown


AttentionInterface.register(ATTENTION, ragged_attention)
