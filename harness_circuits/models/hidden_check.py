"""Whether MLPs are what `hidden` takes them for: last projections that read all there is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import UnsupportedModelError
from harness_circuits.models.layer import Layer


@torch.no_grad()
def check_hidden(layers: Sequence[Layer], graph: Graph, name: str) -> None:
    """Make sure that MLPs are their last projection of their hidden units, on a random residual.

    Raises:
        UnsupportedModelError: One is not.
    """
    refusal = UnsupportedModelError(
        f"level=mlp-neuron cannot be used with {name}: its MLPs have no hidden units that one "
        "projection reads (as where they are experts), or not the same number in every layer. Use "
        "level=neuron, the coordinates of outputs."
    )
    if graph.d_mlp is None:
        raise refusal
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((1, 2, graph.d_model), generator=generator)
    for layer in layers:
        x = x.to(layer.w_o)
        seen: list[Tensor] = []
        got = layer.mlp_out(x, partial(_note, seen))
        out = layer.mlp_projection
        if out is None or len(seen) != 1 or seen[0].shape != (1, 2, graph.d_mlp):
            raise refusal
        wanted = out(seen[0])
        wanted = wanted if layer.post_mlp is None else layer.post_mlp(wanted)
        if not _same(got, wanted):
            raise refusal


def _same(got: Tensor, wanted: Tensor) -> bool:
    tolerance = 0.1 if got.dtype in (torch.float16, torch.bfloat16) else 1e-4
    return torch.allclose(got, wanted, rtol=tolerance, atol=tolerance)


def _note(seen: list[Tensor], hidden: Tensor) -> Tensor:
    seen.append(hidden)
    return hidden
