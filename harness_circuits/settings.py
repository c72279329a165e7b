"""What a run of discovery and evaluation does: one frozen, validated record.

Command lines, YAML files and the Python API only fill it. Unknown keys are refused with the closest
known one, and every value is checked before a model is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness_circuits.ablation.ablations import check_ablation
from harness_circuits.attribution import METHODS, Method, check_method, no_samples
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import LEVELS
from harness_circuits.circuits.sizes import MIB_SIZES, check_sizes, parse_sizes
from harness_circuits.errors import OptionError, UnknownNameError
from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.passes.memory import Needs
from harness_circuits.registry import unknown_name
from harness_circuits.selection import SELECTORS, check_selection

RANKINGS = ("both", *Ranking)
COMPAT = ("none", "mib")
MIB_OPTIONS = {"sites": "reference"}
WHOLE_NUMBERS = {
    "n_discovery": 1,
    "bootstrap_iters": 0,
    "seed": 0,
    "pairs_per_pass": 1,
    "max_memory": 1,
    "keep_samples": 0,
    "null_circuits": 0,
    "stability_resamples": 0,
}
STABILITY_SAMPLES = 64  # groups of training pairs that `stability_resamples` has kept
MAY_BE_NONE = ("n_discovery", "pairs_per_pass", "max_memory", "keep_samples")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One configuration of discovery and evaluation.

    Attributes:
        method: Attribution method.
        method_options: The method's own options, such as `ig_steps`.
        level: `edge`, `node` or `neuron`.
        ablation: What replaces removed units: patching, zero, mean, mean-positional.
        mean_over: Side of the training pairs that means are taken over.
        selection: Selector.
        selection_options: The selector's own options.
        ranking: `signed` (CPR), `absolute` (CMD), or `both`.
        sizes: Circuit sizes as fractions of all units.
        n_discovery: Training pairs used; None for all.
        metric: Metric that overrides the task's own.
        attribution_metric: Metric that discovery differentiates; None for the task's.
        bootstrap_iters: Resamples behind the intervals.
        seed: Seed of everything random here.
        pairs_per_pass: Pairs in one pass; None to choose by `max_memory`.
        max_memory: Bytes that passes may use beside the model; None for a share of what is free.
        keep_samples: Keep score sums of at most this many groups of training pairs; None for what
            the selector and `stability_resamples` need.
        null_circuits: Random circuits of each size to evaluate beside the found one.
        stability_resamples: Resamples of the training pairs whose top-n units are compared; 0 for
            none, else at least 2.
        compat: `mib` reproduces MIB's published protocol where ours differs from it at edge level.
    """

    method: str = "EAP-IG-inputs"
    method_options: Mapping[str, Any] = field(default_factory=dict)
    level: str = "edge"
    ablation: str = "patching"
    mean_over: str = "clean"
    selection: str = "top-n"
    selection_options: Mapping[str, Any] = field(default_factory=dict)
    ranking: str = "both"
    sizes: tuple[float, ...] = MIB_SIZES
    n_discovery: int | None = None
    metric: str | None = None
    attribution_metric: str | None = None
    bootstrap_iters: int = 10_000
    seed: int = 0
    pairs_per_pass: int | None = None
    max_memory: int | None = None
    keep_samples: int | None = None
    compat: str = "none"
    null_circuits: int = 0
    stability_resamples: int = 0

    def __post_init__(self) -> None:
        method, selector = METHODS.get(self.method), SELECTORS.get(self.selection)
        for name in (self.metric, self.attribution_metric):
            if name is not None:
                METRICS.get(name)
        _one_of("level", self.level, LEVELS)
        _one_of("ranking", self.ranking, RANKINGS)
        _one_of("compat", self.compat, COMPAT)
        if self.compat == "mib" and (self.level, self.ablation) != ("edge", "patching"):
            raise OptionError(
                "compat=mib reproduces MIB's published protocol at level=edge with "
                f"ablation=patching only, got level={self.level}, ablation={self.ablation}."
            )
        check_ablation(self.ablation, self.mean_over)
        check_sizes(self.sizes)
        _known_options("method", self.method, self.method_options, method.options)
        _known_options("selection", self.selection, self.selection_options, selector.options)
        options = self.chosen_selection_options()
        check_selection(self.selection, self.level, self.rankings, options)
        for name, least in WHOLE_NUMBERS.items():
            value = getattr(self, name)
            if value is None and name in MAY_BE_NONE:
                continue
            if type(value) is not int or value < least:
                raise OptionError(f"{name} is a whole number of at least {least}, got {value!r}.")
        self._check_samples()
        method.check(**self.chosen_method_options(method.options))

    def _check_samples(self) -> None:
        """Check what resamples scores: selectors that do, `stability_resamples`, `keep_samples`."""
        wanted = f"selection={self.selection}" if SELECTORS.get(self.selection).samples else None
        if self.stability_resamples:
            wanted = wanted or "stability_resamples"
            if self.stability_resamples < 2:
                raise OptionError("stability_resamples is 0 or at least 2: it compares resamples.")
        if wanted and self.n_samples < 2:
            raise OptionError(
                f"{wanted} resamples groups of training pairs: keep_samples is at least 2, got "
                f"{self.keep_samples}."
            )
        if self.n_samples and not METHODS.get(self.method).samples:
            wanted = wanted or "keep_samples"
            raise OptionError(f"{wanted} needs other scores: {no_samples(self.method)}")

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        """The rankings to evaluate."""
        return tuple(Ranking) if self.ranking == "both" else (Ranking(self.ranking),)

    @property
    def metric_names(self) -> tuple[str | None, str | None]:
        """Metrics of evaluation and attribution that override the task's; None where none does."""
        return self.metric, self.attribution_metric

    @property
    def n_samples(self) -> int:
        """Groups of training pairs to keep score sums of, at most."""
        wanted = SELECTORS.get(self.selection).samples
        if self.stability_resamples:
            wanted = max(wanted, STABILITY_SAMPLES)
        return wanted if self.keep_samples is None else self.keep_samples

    def method_for(self, metric: Metric) -> Method:
        """The method, made sure that it is defined for the level, the ablation and a metric.

        Raises:
            OptionError: It is not.
        """
        options = self.chosen_method_options(METHODS.get(self.method).options)
        return check_method(self.method, self.level, self.ablation, metric, options)

    @property
    def needs(self) -> Needs:
        """What discovery holds in memory beside a pass with gradients."""
        method = METHODS.get(self.method)
        return method.needs(self.level, self.chosen_method_options(method.options))

    def to_dict(self) -> dict[str, Any]:
        """Everything that defines the results, as plain JSON."""
        data = asdict(self)
        method = METHODS.get(self.method)
        data["method_options"] = self.chosen_method_options(method.options)
        data["selection_options"] = self.chosen_selection_options()
        data["keep_samples"] = self.n_samples
        data["sizes"] = list(self.sizes)
        return data

    def chosen_method_options(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The method's options: defaults, the run's seed, and what was set."""
        seed = {"seed": self.seed} if "seed" in defaults else {}
        published = MIB_OPTIONS if self.compat == "mib" else {}
        preset = {name: value for name, value in published.items() if name in defaults}
        return {**defaults, **seed, **preset, **self.method_options}

    def chosen_selection_options(self) -> dict[str, Any]:
        """The selector's options: defaults, the run's seed, and what was set."""
        defaults = SELECTORS.get(self.selection).options
        seed = {"seed": self.seed} if "seed" in defaults else {}
        return {**defaults, **seed, **self.selection_options}

    @classmethod
    def known_keys(cls) -> list[str]:
        """Every key `from_arguments` takes."""
        own = [f.name for f in fields(cls) if not f.name.endswith("_options")]
        options = [
            key
            for registry in (METHODS, SELECTORS)
            for name in registry
            for key in registry.get(name).options
        ]
        return list(dict.fromkeys([*own, *options]))

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Settings:
        """Make settings from flat keys and values, as `--model_args` gives them.

        The method's and the selector's own options stand beside the other keys: `ig_steps=10`.

        Raises:
            OptionError: A key is unknown, belongs to another method or selector, or its value
                cannot be used.
            UnknownNameError: A named method, selector or metric does not exist.
        """
        known = cls.known_keys()
        for key in arguments:
            if key not in known:
                raise OptionError(unknown_name("option", key, known))
        own = {f.name for f in fields(cls)}
        chosen = {key: value for key, value in arguments.items() if key in own}
        method = METHODS.get(str(arguments.get("method", cls.method)))
        selector = SELECTORS.get(str(arguments.get("selection", cls.selection)))
        rest = {key: value for key, value in arguments.items() if key not in own}
        chosen["method_options"] = {k: v for k, v in rest.items() if k in method.options}
        chosen["selection_options"] = {k: v for k, v in rest.items() if k in selector.options}
        for key in rest:
            if key not in method.options and key not in selector.options:
                raise OptionError(_belongs_elsewhere(key, arguments))
        if "sizes" in chosen:
            chosen["sizes"] = parse_sizes(chosen["sizes"])
        if chosen.get("max_memory") is not None:
            chosen["max_memory"] = parse_bytes(chosen["max_memory"])
        return cls(**chosen)


def parse_bytes(value: Any) -> int:
    """Read an amount of memory such as `4GB`, `500MB` or a number of bytes.

    Raises:
        OptionError: It is not one.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", str(value).lower())
    if match is None or (n := int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))) < 1:
        raise OptionError(f"max_memory is an amount such as 4GB or 500MB, got {value!r}.")
    return n


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UnknownNameError(unknown_name(name, value, known))


def _known_options(
    what: str, name: str, given: Mapping[str, Any], known: Mapping[str, Any]
) -> None:
    for key in given:
        if key not in known:
            raise OptionError(f"{what}={name}: " + unknown_name("option", key, known))


def _belongs_elsewhere(key: str, arguments: Mapping[str, Any]) -> str:
    users = [f"method={name}" for name in METHODS if key in METHODS.get(name).options]
    users += [f"selection={name}" for name in SELECTORS if key in SELECTORS.get(name).options]
    method = arguments.get("method", Settings.method)
    selection = arguments.get("selection", Settings.selection)
    return (
        f"{key} has no effect with method={method} and selection={selection}; it belongs to "
        f"{', '.join(users)}."
    )
