"""The registry of attribution methods: what is known of each before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from harness_circuits.ablation import ABLATIONS, check_replaces
from harness_circuits.circuits.scores import LEVELS, Level, Scores, ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.metrics import METRICS, Metric
from harness_circuits.options import Option, defaults_of
from harness_circuits.passes.memory import NOTHING_MORE, Needs
from harness_circuits.registry import Registry


def _no_check(**options: Any) -> None:
    """Each value on its own is all there is to check."""


def _nothing_more(level: str, options: Mapping[str, Any]) -> Needs:
    """A run with gradients is all."""
    return NOTHING_MORE


def _none(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """Nothing that does not grow with the pairs."""
    return 0


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
        option_levels: Options that have a meaning at some levels only, with these.
        only: The only ablations it is defined for; empty for all but `without`.
        without: Ablations it is not defined for.
        gradients: Whether it needs a differentiable metric.
        clean_only: Whether all its gradients are taken on the clean run, where a divergence from
            that run has none.
        samples: Whether its scores are a mean over examples, so that sums of groups can be kept.
        whole_prompts: Whether it reads what clean and corrupted prompts share, and not only where
            replaced and clean outputs differ.
        learned: Whether its scores are learned in steps of some pairs each, so that which pairs share
            a step matters.
        positions: Whether it scores edges at each span of the prompts (`positions=`).
        crossing: Whether it scores crossing edges between spans too (`crossing=`).
        passes: (units, options): what it runs per pair, in forward passes; a backward pass
            counts as two.
        passes_in_all: (units, options): what it runs beside that however many pairs there are, in
            passes of one pair.
        needs: (level, options): what it holds in memory.
        members: (options): the methods that it runs.
        source: The paper.
    """

    function: Callable[..., Scores]
    options: Mapping[str, Option] = field(default_factory=dict)
    check: Callable[..., None] = _no_check
    levels: tuple[Level, ...] = LEVELS
    option_levels: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    gradients: bool = True
    clean_only: bool = False
    samples: bool = True
    whole_prompts: bool = False
    learned: bool = False
    positions: bool = False
    crossing: bool = False
    passes: Callable[[ScoreSpace, Mapping[str, Any]], float]
    passes_in_all: Callable[[ScoreSpace, Mapping[str, Any]], float] = _none
    needs: Callable[[str, Mapping[str, Any]], Needs] = _nothing_more
    members: Callable[[Mapping[str, Any]], Sequence[str]] = _no_members
    source: str

    @property
    def defaults(self) -> dict[str, Any]:
        """Its options at their defaults."""
        return defaults_of(self.options)

    @property
    def ablations(self) -> tuple[str, ...]:
        """Ablations it is defined for."""
        return tuple(
            name
            for name in ABLATIONS
            if (name in self.only if self.only else name not in self.without)
        )


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
        level: One of `LEVELS`.
        ablation: The ablation's name.
        metric: What is to be differentiated.
        options: The method's options; those left out are at their defaults.

    Raises:
        UnknownNameError: There is no such method.
        OptionError: The combination is not defined.
    """
    method = METHODS.get(name)
    if level not in method.levels:
        raise OptionError(
            f"method={name} is not defined at level={level}; it is at {', '.join(method.levels)}."
        )
    _check_option_levels(name, level, options)
    check_replaces(ablation, level)
    if ablation not in method.ablations:
        raise OptionError(
            f"method={name} is not defined for ablation={ablation}; it is for "
            f"{', '.join(method.ablations)}."
        )
    if method.gradients and not metric.differentiable:
        raise OptionError(
            f"method={name} needs a metric with gradients: {metric.description} has none. "
            f"Set attribution_metric to one that has: {', '.join(_with_gradients())}."
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


def _check_option_levels(name: str, level: str, options: Mapping[str, Any]) -> None:
    """Refuse options that have no meaning at a level."""
    method = METHODS.get(name)
    for option, levels in method.option_levels.items():
        default = method.options[option].default
        value = options.get(option, default)
        if level not in levels and value != default:
            raise OptionError(
                f"method={name}: {option} has a meaning at level={', '.join(levels)} only, got "
                f"{option}={value} at level={level}. Leave it out."
            )


def check_positions(name: str, *, crossing: bool = False) -> None:
    """Make sure that a method scores edges at each span of the prompts, and crossing edges if wanted.

    Raises:
        OptionError: It does not.
    """
    if crossing and not METHODS.get(name).crossing:
        able = ", ".join(other for other in METHODS if METHODS.get(other).crossing)
        raise OptionError(
            f"method={name} does not score crossing edges between spans; with crossing=true there "
            f"are {able}."
        )
    if not METHODS.get(name).positions:
        able = ", ".join(other for other in METHODS if METHODS.get(other).positions)
        raise OptionError(
            f"method={name} is not defined over positions; with positions= there are {able}."
        )


def _with_gradients() -> list[str]:
    return [name for name in METRICS if METRICS.get(name).differentiable]


def no_samples(name: str) -> str:
    """The message for a method whose scores are not a mean over examples."""
    able = ", ".join(other for other in METHODS if METHODS.get(other).samples)
    return (
        f"method={name} does not score example by example, so its scores cannot be resampled. "
        f"Methods that can: {able}."
    )
