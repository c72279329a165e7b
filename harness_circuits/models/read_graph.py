"""A model's graph: how many layers, heads and hidden units it has, and how a block is wired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn
from transformers import PreTrainedModel

from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import UnsupportedModelError
from harness_circuits.models.architecture import Names, read_architecture
from harness_circuits.models.hidden import common_hidden_width
from harness_circuits.models.projections import Projections
from harness_circuits.models.refusal import refusing_what_does_not_fit

KvHeads = Literal["ungrouped", "grouped"]


def graph_of(hf: PreTrainedModel, kv_heads: KvHeads = "ungrouped") -> Graph:
    """A model's graph, off its modules and configuration: weights may be anything, or on no device.

    Raises:
        UnsupportedModelError: The model has no decomposition we can patch.
    """
    components, names = read_architecture(hf)
    with refusing_what_does_not_fit(type(hf).__name__):
        blocks: Any = hf.get_submodule(str(components["blocks"].name))
        return read_graph(hf, kv_heads, components, names, blocks)


def read_graph(
    hf: PreTrainedModel,
    kv_heads: KvHeads,
    components: dict[str, Any],
    names: Names,
    blocks: Sequence[nn.Module],
) -> Graph:
    """The graph of a model that has been read: its component map, its blocks and their parts' names."""
    from transformer_lens.model_bridge.generalized_components import ParallelBlockBridge

    config = hf.config.get_text_config()
    try:
        n_layers = int(config.num_hidden_layers)
        n_heads = int(config.num_attention_heads)
        d_model = int(config.hidden_size)
    except (AttributeError, TypeError) as error:
        raise UnsupportedModelError(f"{type(hf).__name__} cannot be used: {error}.") from error
    projections = Projections(blocks[0].get_submodule(names.attention), names, n_heads)
    return Graph(
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=projections.n_kv_heads if kv_heads == "grouped" else n_heads,
        d_model=d_model,
        parallel=isinstance(components["blocks"], ParallelBlockBridge),
        d_mlp=common_hidden_width(blocks, names.mlp_out, d_model),
    )
