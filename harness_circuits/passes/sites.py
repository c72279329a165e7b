"""Runs in which the output of one site is replaced: the input, all heads of a layer, or an MLP."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from harness_circuits.circuits.graph import Graph
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.native import NativeRun, Residual


@dataclass(frozen=True)
class Site:
    """Neighbouring sources that are replaced together.

    Attributes:
        point: Where their output is in a run: `block_in` (the input node), `mixed` or `mlp`.
        layer: Their layer.
        sources: Their indices.
    """

    point: str
    layer: int
    sources: slice


def sites_of(graph: Graph) -> list[Site]:
    """All sites of a graph, in the order of the sources."""
    sites = [Site("block_in", 0, slice(0, 1))]
    for layer in range(graph.n_layers):
        mlp = graph.mlp_source(layer)
        sites.append(Site("mixed", layer, graph.head_slice(layer)))
        sites.append(Site("mlp", layer, slice(mlp, mlp + 1)))
    return sites


class SiteRun(NativeRun):
    """An ordinary run in which heads or an MLP put out a given value, a leaf for gradients."""

    def __init__(
        self,
        model: CircuitModel,
        points: Collection[str],
        start: Residual | None = None,
        *,
        differentiable: bool = False,
        first: int = 0,
        site: Site,
        value: Tensor,
    ) -> None:
        """Prepare one run; arguments as in `NativeRun`, and the site and its value."""
        super().__init__(model, points, start, differentiable=differentiable, first=first)
        self.site = site
        self.value = value.detach().requires_grad_(differentiable)

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Keep a tensor as in any run, with the site's own value in its place."""
        if point == self.site.point and layer == self.site.layer:
            tensor = self.value
        return super().tap(point, layer, tensor)
