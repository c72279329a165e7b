"""EAP-IG-activations (Marks et al. 2024, arXiv 2403.19647; Hanna et al. 2024, arXiv 2403.17806).

Integrated gradients with one path per site: the input, all heads of a layer, or an MLP (at level
mlp-neuron, the hidden units of an MLP). The site's
output moves from its replacement to its clean value, everything before it stays clean, everything
after it follows. Site by site:

1. At every point of the path, run with the site's output fixed there, and take gradients; points,
   and sites of one layer, side by side.
2. `sites=own`: score the sources of the site with its own gradients. Blocks before the site are
   skipped, and the clean end of every path is the same run, which is made once.
   `sites=all`: score every source with the gradients averaged over the paths of all sites, which is
   what EAP-IG's code and hence MIB computes.

With `own`, the scores of all edges that leave a site add up to what replacing the site does to the
metric, as the number of steps grows. The rule `right` has points 1/m, ..., 1 (1 = clean), as
EAP-IG's code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.eap_ig_inputs import IG_STEPS, ig_rule_option, path_needs
from harness_circuits.attribution.gradient import PathPoint, even_points, run_side_by_side
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import HIDDEN_UNITS, Scores, ScoreSpace
from harness_circuits.options import Option
from harness_circuits.options.kinds import Choice
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.contract import Delta, delta_between
from harness_circuits.passes.gradient_sums import Weighted
from harness_circuits.passes.gradients import GradientPass, RunType
from harness_circuits.passes.native import (
    HIDDEN,
    NativeRun,
    Outputs,
    Residual,
    Tapped,
    hidden_of,
    outputs_of,
    record,
)
from harness_circuits.passes.sites import Site, SiteRun, sites_of

SITES = ("own", "all", "reference")


def eap_ig_activations(job: Job, *, ig_steps: int, ig_rule: str, sites: str) -> Scores:
    """Score by mean gradients along paths between each site's replaced and clean output.

    Args:
        job: Model, data, metric, level and ablation.
        ig_steps: Number of points per path.
        ig_rule: Where they lie, one of `harness_circuits.attribution.eap_ig_inputs.RULES`.
        sites: `own`: a source is scored on its own site's path; `all`: on the paths of all sites;
            `reference`: the same with a defect of EAP-IG's code, which loses the gradients at the
            first layer's inputs on the input node's path in models without learned positions.
    """
    sums = job.sums()
    points = even_points(ig_rule, ig_steps)
    for batch in job.watched("discovery", sums):
        site_batch = _SiteBatch(job, batch, sums.total)
        lost = sites == "reference" and job.model.position_table is None
        site_batch.score(points, own=sites == "own", without_first=lost)
    return job.scores(sums)


class _SiteBatch:
    """The work for one batch."""

    def __init__(self, job: Job, batch: Batch, total: Float[Tensor, "*units"]) -> None:
        self.job, self.batch, self.total, self.model = job, batch, total, job.model
        self.replacement = job.ablation.replacement(self.model, batch)
        seen, self.logits = record(self.model, batch.clean)
        self.clean = outputs_of(self.model, batch.clean, seen)
        self.block_in = seen["block_in"]
        self.sums = job.gradient_sums(batch)
        self.delta: Delta = delta_between(self.clean, self.replacement, self.model.sum_dtype)

    def score(self, points: Sequence[PathPoint], *, own: bool, without_first: bool = False) -> None:
        """Add this batch's score sums."""
        sites = sites_of(self.job.space)
        if not own:
            share = 1 / len(sites)
            lost = without_first
            for site, runs in self._paths(sites, points, share, first=0):
                wanted = map(self._without_first_inputs, runs) if lost and site.is_input else runs
                self._add(wanted, None)
            return
        clean_weight = sum(point.weight for point in points if point.alpha == 1)
        if clean_weight:
            self._add(iter([Weighted(self._run(None), clean_weight)]), None)
        inner = [point for point in points if point.alpha != 1]
        for layer, together in groupby(sites if inner else (), key=lambda site: site.layer):
            for site, runs in self._paths(list(together), inner, 1.0, first=layer):
                self._add(runs, site.sources)

    def _paths(
        self, sites: Sequence[Site], points: Sequence[PathPoint], share: float, *, first: int
    ) -> Iterator[tuple[Site, Iterator[Weighted]]]:
        """Each site with the runs along its path; runs of neighbouring sites lie side by side."""
        wanted = [(site, point) for site in sites for point in points]
        runs = self._side_by_side(wanted, share, first)
        for site, group in groupby(runs, key=lambda found: found[0]):
            yield site, (run for _, run in group)

    def _side_by_side(
        self, wanted: Sequence[tuple[Site, PathPoint]], share: float, first: int
    ) -> Iterator[tuple[Site, Weighted]]:
        at_once = self.batch.at_once
        for some in (wanted[i : i + at_once] for i in range(0, len(wanted), at_once)):
            fixed = [(site, self._between(site, point.alpha)) for site, point in some]
            before = self.block_in[first]
            start = torch.cat([value if site.is_input else before for site, value in fixed])
            how = partial(SiteRun, first=first, fixed=fixed)
            sites, weights = zip(*((s, share * point.weight) for s, point in some), strict=True)
            # Not named, as a run that this function held would be kept through the next one.
            parts = self._run(start, how, n=len(some)).row_groups(len(some))
            yield from zip(sites, map(Weighted, parts, weights), strict=True)
            del parts

    def _without_first_inputs(self, item: Weighted) -> Weighted:
        """The gradients without those at the inputs of the first layer, which the reference loses."""
        gradients = {name: dict(layers) for name, layers in item.run.gradients.at.items()}
        lost = ("q", "k", "v", "mlp_in") if self.model.graph.parallel else ("q", "k", "v")
        for name in lost if self.job.level == "edge" else ():
            gradients[name][0] = torch.zeros_like(gradients[name][0])
        return replace(item, run=replace(item.run, gradients=Tapped(gradients)))

    def _between(self, site: Site, alpha: float) -> Tensor:
        """The site's value; that of the input node is the first block's input."""
        if site.is_input:
            change = self.replacement.embedded - self.clean.embedded
            return self.block_in[0] + (1 - alpha) * change

        def of(outputs: Outputs) -> Tensor:
            if site.point == HIDDEN:
                return hidden_of(outputs)[site.layer]
            return (outputs.mixed if site.point == "mixed" else outputs.mlp)[site.layer]

        clean, replaced = of(self.clean), of(self.replacement)
        return torch.lerp(clean, replaced.expand_as(clean), 1 - alpha)

    def _run(
        self, start: Residual | None, run_type: RunType = NativeRun, n: int = 1
    ) -> GradientPass:
        how = self.job, self.batch, n, self.sums.points, self.logits, start
        return run_side_by_side(*how, run_type=run_type)

    def _add(self, runs: Iterator[Weighted], sources: slice | None) -> None:
        """Contract some runs' gradients with the differences of some sources."""
        self.sums.add(runs, lambda: self.delta, self.total, sources)


def passes(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """Both runs, and a run with gradients per site and step; a site's own starts at its layer."""
    sites: float = len(sites_of(space))
    n_layers = space.graph.n_layers
    if options["sites"] == "own":
        sites = (n_layers + 1) / 2 if space.level == HIDDEN_UNITS else 1 + n_layers
    return 2 + 3 * options["ig_steps"] * sites


METHODS.register("EAP-IG-activations")(
    Method(
        function=eap_ig_activations,
        positions=True,
        passes=passes,
        needs=path_needs,
        options={
            "ig_steps": IG_STEPS,
            "ig_rule": ig_rule_option("right"),
            "sites": Option(Choice(SITES), "own", "what is interpolated for which source"),
        },
        source="Marks et al. 2024, arXiv 2403.19647; Hanna et al. 2024, arXiv 2403.17806",
    )
)
