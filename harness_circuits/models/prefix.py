"""Keys and values of prompt tokens that have been run already, as a cache of Hugging Face's own kind.

A cache that is only read: every call of an attention module gets the prefix's keys and values
before those it hands in, and nothing is kept from call to call. So one prefix serves any number of
runs, with gradients or without. It is kept as the model makes it (one entry per key/value head, one
row per prompt) and spread to whatever asks: query heads that share a key, rows that repeat prompts.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer

Keys = Float[Tensor, "batch head pos d_head"]


class _PrefixLayer(CacheLayerMixin):
    """One layer's keys and values."""

    keys: Keys
    values: Keys
    is_sliding = False  # windows are cut by the mask, over all tokens

    def __init__(self, keys: Keys, values: Keys) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values = keys, values
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: all there is was given."""

    def update(
        self, key_states: Keys, value_states: Keys, *args: Any, **kwargs: Any
    ) -> tuple[Keys, Keys]:
        """The prefix's keys and values, then the given ones."""
        assert self.keys is not None and self.values is not None
        return _behind(self.keys, key_states), _behind(self.values, value_states)

    def get_seq_length(self) -> int:
        """Tokens of the prefix."""
        assert self.keys is not None
        return int(self.keys.shape[-2])

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys a mask is for, and the first one's position."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """No maximum."""
        return -1


class Prefix(Cache):
    """A prefix's keys and values in all layers.

    Attributes:
        n_tokens: Tokens of each prompt that the prefix holds.
    """

    def __init__(self, layers: list[tuple[Keys, Keys]]) -> None:
        """Take keys and values as attention modules cache them: rotated, normalised."""
        super().__init__(layers=[_PrefixLayer(*layer) for layer in layers])
        self.n_tokens = int(layers[0][0].shape[-2])

    def keys_and_values(self) -> list[tuple[Keys, Keys]]:
        """What every layer holds."""
        held = [layer for layer in self.layers if isinstance(layer, _PrefixLayer)]
        return [(layer.keys, layer.values) for layer in held]

    def rows(self, rows: Int[Tensor, "row"]) -> Prefix:
        """The prefix of some of the prompts."""
        return Prefix(
            [(k[rows.to(k.device)], v[rows.to(k.device)]) for k, v in self.keys_and_values()]
        )


@torch.no_grad()
def run_prefix(hf: PreTrainedModel, ids: Int[Tensor, "batch pos"]) -> Prefix:
    """Run the model's blocks on prompts' first tokens.

    Args:
        hf: The model.
        ids: Token ids on the device of its embeddings.
    """
    cache = DynamicCache()
    hf.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
    found = []
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer) and layer.keys is not None
        assert layer.values is not None
        found.append((layer.keys, layer.values))
    return Prefix(found)


def _behind(prefix: Keys, new: Keys) -> Keys:
    """Join a prefix and new entries, whose rows and heads may be multiples of the prefix's."""
    rows, heads = prefix.shape[:2]
    times, group = new.shape[0] // rows, new.shape[1] // heads
    shape = (times, rows, heads, group)
    wide = prefix[None, :, :, None].expand(*shape, *prefix.shape[2:])
    joined = torch.cat([wide.to(new.dtype), new.view(*shape, *new.shape[2:])], dim=-2)
    return joined.flatten(2, 3).flatten(0, 1)
