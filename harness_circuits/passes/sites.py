"""Runs in which the output of a site is replaced: input, a layer's heads, an MLP or its hidden units."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness_circuits.circuits.scores import HIDDEN_UNITS, ScoreSpace
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.native import HIDDEN, NativeRun, Residual


@dataclass(frozen=True)
class Site:
    """Neighbouring units that are replaced together.

    Attributes:
        point: Where they are in a run: `block_in` (the input node), `mixed`, `mlp` or `hidden`.
        layer: Their layer.
        sources: The rows of their scores.
    """

    point: str
    layer: int
    sources: slice

    @property
    def is_input(self) -> bool:
        """Whether it is the input node."""
        return self.point == "block_in"


def sites_of(space: ScoreSpace) -> list[Site]:
    """All sites of some units, in their order."""
    graph = space.graph
    if space.level == HIDDEN_UNITS:
        return [Site(HIDDEN, layer, slice(layer, layer + 1)) for layer in range(graph.n_layers)]
    sites = [Site("block_in", 0, slice(0, 1))]
    for layer in range(graph.n_layers):
        mlp = graph.mlp_source(layer)
        sites.append(Site("mixed", layer, graph.head_slice(layer)))
        sites.append(Site("mlp", layer, slice(mlp, mlp + 1)))
    return sites


class SiteRun(NativeRun):
    """An ordinary run in which sites put out given values, which are leaves for gradients.

    Runs lie side by side, as many rows each; every one has a site and a value of its own.
    """

    def __init__(
        self,
        model: CircuitModel,
        points: Collection[str],
        start: Residual | None = None,
        *,
        differentiable: bool = False,
        first: int = 0,
        fixed: Sequence[tuple[Site, Tensor]],
    ) -> None:
        """Prepare runs; arguments as in `NativeRun`, and the site and value of each."""
        super().__init__(model, points, start, differentiable=differentiable, first=first)
        self.fixed = [(site, v.detach().requires_grad_(differentiable)) for site, v in fixed]
        self.taps_hidden = self.taps_hidden or any(site.point == HIDDEN for site, _ in fixed)

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Keep a tensor as in any run, with the sites' own values in its place."""
        if any((site.point, site.layer) == (point, layer) for site, _ in self.fixed):
            rows = zip(self.fixed, tensor.chunk(len(self.fixed)), strict=True)
            here = point, layer
            tensor = torch.cat(
                [v if (site.point, site.layer) == here else t for (site, v), t in rows]
            )
        return super().tap(point, layer, tensor)
