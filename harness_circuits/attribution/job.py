"""What every attribution method is given, and the one way to run one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.ablation import ABLATIONS, Ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution.methods import (
    METHODS,
    check_method,
    check_positions,
    no_samples,
)
from harness_circuits.attribution.sums import ScoreSums
from harness_circuits.circuits.scores import Level, Scores, ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import NumericalError, OptionError
from harness_circuits.machine.progress import progress
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.metrics.metrics import Metric
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options import read_options
from harness_circuits.pairs.batch import Batch, whole_batches
from harness_circuits.passes.crossing_scores import check_crossing
from harness_circuits.passes.gradient_sums import GradientSums
from harness_circuits.passes.shared_prefix import behind_shared_prefix


@dataclass(frozen=True)
class Job:
    """One discovery: model, data, metric, and the units to score.

    Attributes:
        model: The model.
        batches: Training pairs.
        metric: Differentiable task metric.
        level: Units to score, one of `LEVELS`.
        ablation: What a removed unit's output would be replaced by.
        keep_samples: Keep score sums of at most this many groups of examples beside the scores, for
            resampling without further passes; 0 for none. A group is never smaller than a batch.
        raw_heads: In post-norm models, take a head's output before the post-norm as what it adds
            to the residual stream, as EAP-IG's code does. (It adds another vector: the default is
            right.)
        ranks: The processes that share the batches; each has all of them here.
        whole_prompts: Run every token, also where clean and corrupted are still the same.
        spans: Where in the prompts units are; the batches' tokens are numbered by them.
    """

    model: CircuitModel
    batches: Sequence[Batch]
    metric: Metric
    level: Level = "edge"
    ablation: Ablation = field(default_factory=Patching)
    keep_samples: int = 0
    raw_heads: bool = False
    ranks: Ranks = ALONE
    whole_prompts: bool = False
    spans: Spans | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model.at(self.level))
        if self.runs_whole:
            object.__setattr__(self, "batches", whole_batches(self.batches))

    @property
    def runs_whole(self) -> bool:
        """Whether all tokens are run, also those that the prompts of a pair share."""
        # A replaced query looks at shared tokens too.
        whole = self.whole_prompts or (self.spans is not None and self.spans.crossing)
        return whole or not ABLATIONS.get(self.ablation.name).follows_corrupted

    @property
    def space(self) -> ScoreSpace:
        """The units to score."""
        return ScoreSpace(self.model.graph, self.level, self.spans)

    @property
    def n_examples(self) -> int:
        """Number of training pairs."""
        return sum(len(batch) for batch in self.batches)

    @cached_property
    def own(self) -> list[int]:
        """Numbers of the batches that this process runs."""
        return self.ranks.share([batch.clean.ids.numel() for batch in self.batches])

    def watched(self, what: str, sums: ScoreSums | None = None) -> Iterator[Batch]:
        """This process's batches; how far it is, in examples, is shown.

        Args:
            what: What the stage is called.
            sums: What the scores of each batch are added to, if `scores` shall get it.
        """
        batches = [self.batches[at] for at in self.own]
        with progress(sum(map(len, batches)), what, "pairs") as bar, self.model.tells(bar.alive):
            for batch in batches:
                yield self.prepared(batch)
                if sums is not None:
                    sums.batch_done()
                bar.advance(len(batch))

    def prepared(self, batch: Batch) -> Batch:
        """A batch as methods get it: what its prompts share is run already, where that is enough."""
        return batch if self.runs_whole else behind_shared_prefix(self.model, batch)

    def sums(self) -> ScoreSums:
        """Score sums at zero: give to `watched`, add to their `total`, hand to `scores`."""
        sizes = [len(batch) for batch in self.batches]
        return ScoreSums(self.space.shape, self.model.device, sizes, self.keep_samples, self.own)

    def gradient_sums(self, batch: Batch) -> GradientSums:
        """What turns runs with gradients of a batch into scores of this job's units."""
        spans = None if self.spans is None else batch.clean.spans
        return GradientSums(self.model, self.level, self.raw_heads, spans, self.space.crossing)

    def zeros(self) -> Float[Tensor, "*units"]:
        """Score sums, in float64."""
        return torch.zeros(self.space.shape, dtype=torch.float64, device=self.model.device)

    def scores(self, total: ScoreSums | Float[Tensor, "*units"], **provenance: Any) -> Scores:
        """Turn sums over examples into scores: the mean effect per example.

        Args:
            total: What `sums` gave and this process's batches were added to; or sums over all
                examples, the same on every rank (`ranks.sum_` makes them so).
            **provenance: Facts to keep with the scores.

        Raises:
            NumericalError: A score is not finite, or all are zero.
        """
        if isinstance(total, ScoreSums):
            sums, samples = self.ranks.sum_(total.total), total.samples(self.ranks)
        else:
            sums, samples = total, None
        values = (sums / self.n_examples).cpu().numpy()
        values = np.where(self.space.real, values, 0.0)
        scores = Scores(self.space, values, {"level": self.level, **provenance}, samples)
        if not values.any():
            raise NumericalError(
                "All scores are zero: the metric does not react to the units. (The KL and JS "
                "divergences from the clean run have no gradient on the clean run; use "
                "EAP-IG-inputs or another metric.)"
            )
        return scores


def attribute(job: Job, name: str = "EAP-IG-inputs", **options: Any) -> Scores:
    """Score every unit of a job with a named method.

    Args:
        job: Model, data, metric and level.
        name: A method's name.
        **options: The method's own options, such as `ig_steps`.

    Returns:
        Scores; positive where corrupting the unit lowers the metric.

    Raises:
        UnknownNameError: There is no such method.
        OptionError: Undefined combination, unknown option or bad value, or samples wanted of a
            method that has none.
        NumericalError: The scores are not finite, or all zero.
    """
    method = METHODS.get(name)
    given = read_options(method.options, options, f"method={name}")
    if job.keep_samples and not method.samples:
        raise OptionError(no_samples(name))
    chosen = {**method.defaults, **given}
    method.check(**chosen)
    check_method(name, job.level, job.ablation.name, job.metric, given)
    if job.spans is not None:
        check_positions(name, crossing=job.spans.crossing)
        if job.spans.crossing:
            check_crossing(job.model)
    before = job.model.counts.copy()
    if method.whole_prompts:
        job = replace(job, whole_prompts=True)
    scores = method.function(job, **chosen)
    assert scores.samples is not None or not job.keep_samples, f"{name} adds without job.sums()"
    passes = sum(job.ranks.gather(job.model.counts - before), Counter[str]())
    return scores.describe(
        method=name,
        ablation=job.ablation.name,
        n_examples=job.n_examples,
        passes=dict(sorted(passes.items())),
        **chosen,
    )
