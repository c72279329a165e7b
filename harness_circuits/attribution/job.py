"""What every attribution method is given, and the registry of methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.ablation.ablations import Ablation, Patching
from harness_circuits.attribution.sums import ScoreSums
from harness_circuits.circuits.scores import Level, Scores, ScoreSpace
from harness_circuits.errors import NumericalError, OptionError
from harness_circuits.machine.progress import progress
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.metrics.metrics import Metric
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options import Option, defaults_of, read_options
from harness_circuits.pairs.tokenise import Batch
from harness_circuits.passes.memory import NOTHING_MORE, Needs
from harness_circuits.passes.shared_prefix import behind_shared_prefix
from harness_circuits.registry import Registry


@dataclass(frozen=True)
class Job:
    """One discovery: model, data, metric, and the units to score.

    Attributes:
        model: The model.
        batches: Training pairs.
        metric: Differentiable task metric.
        level: `edge`, `node` or `neuron`.
        ablation: What a removed unit's output would be replaced by.
        keep_samples: Keep score sums of at most this many groups of examples beside the scores, for
            resampling without further passes; 0 for none. A group is never smaller than a batch.
        raw_heads: In post-norm models, take a head's output before the post-norm as what it adds
            to the residual stream, as EAP-IG's code does. (It adds another vector: the default is
            right.)
        ranks: The processes that share the batches; each has all of them here.
        whole_prompts: Run every token, also where clean and corrupted are still the same.
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

    @property
    def space(self) -> ScoreSpace:
        """The units to score."""
        return ScoreSpace(self.model.graph, self.level)

    @property
    def n_examples(self) -> int:
        """Number of training pairs."""
        return sum(len(batch) for batch in self.batches)

    @cached_property
    def own(self) -> list[int]:
        """Numbers of the batches that this process runs."""
        return self.ranks.share([batch.clean.ids.numel() for batch in self.batches])

    def watched(self, what: str, sums: ScoreSums | None = None) -> Iterator[Batch]:
        """This process's batches, behind a progress bar that counts examples.

        Args:
            what: The bar's text.
            sums: What the scores of each batch are added to, if `scores` shall get it.
        """
        batches = [self.batches[at] for at in self.own]
        with progress(sum(map(len, batches)), what, "pairs") as advance:
            for batch in batches:
                yield self._prepared(batch)
                if sums is not None:
                    sums.batch_done()
                advance(len(batch))

    def _prepared(self, batch: Batch) -> Batch:
        """A batch as methods get it: what its prompts share is run already, where that is enough."""
        if self.whole_prompts or not self.ablation.follows_corrupted:
            return batch
        return behind_shared_prefix(self.model, batch)

    def sums(self) -> ScoreSums:
        """Score sums at zero: give to `watched`, add to their `total`, hand to `scores`."""
        sizes = [len(batch) for batch in self.batches]
        return ScoreSums(self.space.shape, self.model.device, sizes, self.keep_samples, self.own)

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


def _no_check(**options: Any) -> None:
    """Each value on its own is all there is to check."""


def _nothing_more(level: str, options: Mapping[str, Any]) -> Needs:
    """A run with gradients is all."""
    return NOTHING_MORE


def _no_members(options: Mapping[str, Any]) -> Sequence[str]:
    """A method of its own."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Method:
    """One attribution method.

    Attributes:
        function: (job, **options) to scores.
        options: Its options by name.
        check: (**options): raises `OptionError` for values it cannot work with, before any run;
            `attribute` and `Settings` call it.
        levels: Levels it is defined at.
        ablations: Ablations it is defined for.
        gradients: Whether it needs a differentiable metric.
        clean_only: Whether all its gradients are taken on the clean run, where a divergence from
            that run has none.
        samples: Whether its scores are a mean over examples, so that sums of groups can be kept.
        whole_prompts: Whether it reads what clean and corrupted prompts share, and not only where
            replaced and clean outputs differ.
        needs: (level, options): what it holds in memory.
        members: (options): the methods that it runs.
        source: The paper.
    """

    function: Callable[..., Scores]
    options: Mapping[str, Option] = field(default_factory=dict)
    check: Callable[..., None] = _no_check
    levels: tuple[Level, ...] = ("edge", "node", "neuron")
    ablations: tuple[str, ...] = ("patching", "zero", "mean", "mean-positional")
    gradients: bool = True
    clean_only: bool = False
    samples: bool = True
    whole_prompts: bool = False
    needs: Callable[[str, Mapping[str, Any]], Needs] = _nothing_more
    members: Callable[[Mapping[str, Any]], Sequence[str]] = _no_members
    source: str

    @property
    def defaults(self) -> dict[str, Any]:
        """Its options at their defaults."""
        return defaults_of(self.options)


METHODS: Registry[Method] = Registry("attribution method")


def check_method(
    name: str,
    level: str,
    ablation: str,
    metric: Metric,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Method:
    """Return a method, if it and all its members are defined for this level, ablation and metric.

    Args:
        name: The method's name.
        level: `edge`, `node` or `neuron`.
        ablation: The ablation's name.
        metric: What is to be differentiated.
        options: Those of the method's options that are not at their defaults.

    Raises:
        UnknownNameError: There is no such method.
        OptionError: The combination is not defined.
    """
    method = METHODS.get(name)
    if level not in method.levels:
        raise OptionError(
            f"method={name} is not defined at level={level}; it is at {', '.join(method.levels)}."
        )
    if ablation not in method.ablations:
        raise OptionError(
            f"method={name} is not defined for ablation={ablation}; it is for "
            f"{', '.join(method.ablations)}."
        )
    if method.gradients and not metric.differentiable:
        raise OptionError(
            f"method={name} needs a metric with gradients: {metric.description} has none. "
            "Set attribution_metric=logit_diff, prob_diff, kl, js or normalised_logit."
        )
    if method.clean_only and metric.needs_clean:
        raise OptionError(
            f"method={name} takes its gradients on the clean run, where the metric "
            f"({metric.description}) has none. Use method=EAP-IG-inputs, or "
            "attribution_metric=logit_diff."
        )
    for member in method.members({**method.defaults, **options}):
        check_method(member, level, ablation, metric)
    return method


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


def no_samples(name: str) -> str:
    """The message for a method whose scores are not a mean over examples."""
    able = ", ".join(other for other in METHODS if METHODS.get(other).samples)
    return (
        f"method={name} does not score example by example, so its scores cannot be resampled. "
        f"Methods that can: {able}."
    )
