"""ensemble: mean of several methods' scores ("parallel" of Mondorf et al. 2025, arXiv 2510.06811).

It is a method rather than a selector: it needs the model for its members' scores, and what comes
out is scores, which any selector can turn into circuits.

Each member's scores are divided by the sum (or the maximum) of their absolute values first, so that
methods of different scale weigh the same. The authors' code takes the plain mean: `normalise=none`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness_circuits.attribution.job import Job, attribute
from harness_circuits.attribution.methods import METHODS, Method, no_samples
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import NumericalError, OptionError, shown
from harness_circuits.options import Option
from harness_circuits.options.kinds import Checked, Choice
from harness_circuits.passes.memory import Needs
from harness_circuits.registry import unknown_name

NORMALISE = ("sum", "max", "none")


def ensemble(scores: Sequence[Scores], normalise: str = "sum") -> Scores:
    """Return the mean of normalised scores.

    Args:
        scores: Scores of the same units.
        normalise: Divide each by its `sum` or `max` of absolute values, or by nothing (`none`).

    Returns:
        Scores whose absolute values add up to at most 1 (`sum`), are at most 1 (`max`), or have the
        scale of the members. With samples where all members have the same, at the norms of the
        whole data.

    Raises:
        OptionError: No scores, different units, or an unknown normalisation.
        NumericalError: A member's scores are all zero.
    """
    if normalise not in NORMALISE:
        raise OptionError(unknown_name("normalise", normalise, NORMALISE))
    if not scores:
        raise OptionError("An ensemble needs the scores of at least one method.")
    if any(member.space != scores[0].space for member in scores):
        raise OptionError("Scores of different graphs or levels cannot be combined.")
    factors = [1 / (_norm(member, normalise) * len(scores)) for member in scores]
    values = sum(f * member.values for f, member in zip(factors, scores, strict=True))
    provenance = {
        "level": scores[0].space.level,
        "normalise": normalise,
        "members": [dict(member.provenance) for member in scores],
    }
    return Scores(scores[0].space, np.asarray(values), provenance, _samples(scores, factors))


def ensemble_of_methods(job: Job, *, methods: Any, normalise: str) -> Scores:
    """Score with several methods, at their default options, and take the mean.

    Args:
        job: Model, data, metric, level and ablation.
        methods: Names, as a list or separated by colons.
        normalise: See `ensemble`.

    Raises:
        OptionError: Samples are wanted of a method that has none.
    """
    names = _names(methods)
    for name in names:
        if job.keep_samples and not METHODS.get(name).samples:
            raise OptionError(no_samples(name))
    return ensemble([attribute(job, name) for name in names], normalise)


def check_ensemble(methods: Any, normalise: str) -> None:
    """Raise `OptionError` unless there are two or more methods to combine."""
    names = _names(methods)
    if len(names) < 2 or len(set(names)) < len(names) or "ensemble" in names:
        raise OptionError(
            "method=ensemble takes two or more different methods, such as "
            f"methods=EAP:EAP-IG-inputs; got {shown(methods)}."
        )
    for name in names:
        METHODS.get(name)


def ensemble_needs(level: str, options: Mapping[str, Any]) -> Needs:
    """The most that any member holds."""
    members = (METHODS.get(name) for name in _names(options["methods"]))
    return Needs.of_all(member.needs(level, member.defaults) for member in members)


def ensemble_passes(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """What all members run."""
    members = (METHODS.get(name) for name in _names(options["methods"]))
    return sum(member.passes(space, member.defaults) for member in members)


def ensemble_in_all(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """What all members run however many pairs there are."""
    members = (METHODS.get(name) for name in _names(options["methods"]))
    return sum(member.passes_in_all(space, member.defaults) for member in members)


def _given(methods: Any) -> Any:
    if not _names(methods):
        raise ValueError
    return methods


def _names(methods: Any) -> list[str]:
    """The members' names, from a string or strings; none from anything else."""
    if isinstance(methods, str):
        return re.split(r"[\s:;+/]+", methods.strip())
    several = isinstance(methods, list | tuple) and all(isinstance(name, str) for name in methods)
    return list(methods) if several else []


def _norm(scores: Scores, normalise: str) -> float:
    sizes = np.abs(scores.values)
    norm = {"sum": float(sizes.sum()), "max": float(sizes.max()), "none": 1.0}[normalise]
    if norm == 0:
        raise NumericalError(
            f"All scores of {scores.provenance.get('method', 'a member')} are zero: they cannot be "
            f"normalised by their {normalise}."
        )
    return norm


def _samples(scores: Sequence[Scores], factors: Sequence[float]) -> Samples | None:
    kept = [member.samples for member in scores if member.samples is not None]
    if len(kept) < len(scores) or any(len(samples) != len(kept[0]) for samples in kept):
        return None
    if any((samples.sizes != kept[0].sizes).any() for samples in kept):
        return None
    sums = np.zeros_like(kept[0].sums)
    for factor, samples in zip(factors, kept, strict=True):
        sums += np.float32(factor) * samples.sums
    return Samples(sums, kept[0].sizes)


METHODS.register("ensemble")(
    Method(
        function=ensemble_of_methods,
        options={
            "methods": Option(
                Checked("two or more different methods, such as EAP:EAP-IG-inputs", _given),
                "EAP:EAP-IG-inputs",
                "the methods to combine",
            ),
            "normalise": Option(
                Choice(NORMALISE), "sum", "what each method's scores are divided by"
            ),
        },
        gradients=False,
        check=check_ensemble,
        passes=ensemble_passes,
        passes_in_all=ensemble_in_all,
        needs=ensemble_needs,
        members=lambda options: _names(options["methods"]),
        source="Mondorf et al. 2025, arXiv 2510.06811",
    )
)
