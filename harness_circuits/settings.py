"""What a run of discovery and evaluation does: one frozen, validated record.

Command lines, YAML files and the Python API only fill it. Unknown keys are refused with the closest
known one, and every value is checked before a model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness_circuits.ablation import ABLATIONS, check_ablation
from harness_circuits.attribution import (
    METHODS,
    Method,
    check_method,
    check_positions,
    no_samples,
)
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.errors import OptionError
from harness_circuits.evaluation.direction import check_direction
from harness_circuits.evidence import EVIDENCE, chosen_kinds
from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.options import Option, read_options
from harness_circuits.options.fields import SETTINGS, SettingsFields
from harness_circuits.pairs.spans import Positions
from harness_circuits.passes.memory import Needs
from harness_circuits.registry import unknown_name
from harness_circuits.selection import SELECTORS, check_selection, check_selects_positions

MIB_OPTIONS = {"sites": "reference"}
MIB_SELECTION = {"information-flow-routes": "greedy"}  # of these methods; top-n of all others
MIB_METRICS = dict.fromkeys(("normalised_logit", "normalized_logit"), "mib_normalized_logit")
STABILITY_SAMPLES = 64  # groups of training pairs that `stability_resamples` has kept
OWN_OPTIONS = ("method_options", "selection_options")  # given flat, beside the other keys


@dataclass(frozen=True, kw_only=True)
class Settings(SettingsFields):
    """One configuration of discovery and evaluation; `SettingsFields` says what each field is."""

    def __post_init__(self) -> None:
        for name, option in SETTINGS.items():
            self._set(name, option.read(name, getattr(self, name)))
        method, selector = METHODS.get(self.method), SELECTORS.get(self.selection)
        for name in ("metric", "attribution_metric"):
            metric = getattr(self, name)
            if metric is not None:
                self._set(name, self.metric_in_force(metric))
                METRICS.get(getattr(self, name))
        protocol = self.level, self.ablation, self.direction
        if self.published and protocol != ("edge", "patching", "noising"):
            raise OptionError(
                "compat=mib reproduces MIB's published protocol at level=edge with ablation=patching "
                f"and direction=noising only, got level={self.level}, ablation={self.ablation}, "
                f"direction={self.direction}."
            )
        check_ablation(self.ablation, self.mean_over)
        check_direction(self.direction, self.ablation)
        self._set("evidence", chosen_kinds(self.evidence))
        given = self.method_options, self.selection_options
        self._set("method_options", read_options(method.options, given[0], f"method={self.method}"))
        where = f"selection={self.selection}"
        self._set("selection_options", read_options(selector.options, given[1], where))
        options = self.chosen_selection_options()
        check_selection(self.selection, self.level, self.rankings, options)
        self._check_samples()
        self._check_positions()
        self._check_retraining()
        method.check(**self.chosen_method_options())

    def _set(self, name: str, value: Any) -> None:
        """Put the value that was read in the place of the one that was given."""
        object.__setattr__(self, name, value)

    def _check_samples(self) -> None:
        """Check what resamples scores: selectors that do, `stability_resamples`, `keep_samples`."""
        wanted = f"selection={self.selection}" if SELECTORS.get(self.selection).samples else None
        for name in self.evidence:
            wanted = wanted or (f"evidence={name}" if EVIDENCE.get(name).samples else None)
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

    def _check_positions(self) -> None:
        """Check what is asked of positions against the rest."""
        if self.span_words is not None and self.positions != "spans":
            raise OptionError(
                f"span_words divides prompts into spans for positions=spans, got "
                f"positions={self.positions}."
            )
        if self.positions == "none":
            if self.crossing:
                raise OptionError(
                    "crossing=true is for circuits over positions: give positions=spans or "
                    "positions=tokens too."
                )
            return
        if self.level != "edge" or self.published:
            what = "compat=mib" if self.published else f"level={self.level}"
            raise OptionError(
                f"positions={self.positions} is for edges (level=edge), and MIB's protocol has no "
                f"positions: got {what}."
            )
        check_positions(self.method, crossing=self.crossing)
        check_selects_positions(self.selection)
        lacking = [name for name in self.evidence if not EVIDENCE.get(name).positions]
        if lacking:
            able = ", ".join(name for name in EVIDENCE if EVIDENCE.get(name).positions)
            raise OptionError(
                f"evidence={lacking[0]} is not defined over positions; with positions= there are {able}."
            )

    def _check_retraining(self) -> None:
        """Check what learning constants anew for each circuit goes together with."""
        if not self.retrain_steps:
            return
        given = f"retrain_steps={self.retrain_steps}"
        if not ABLATIONS.get(self.ablation).learned:
            able = [name for name in ABLATIONS if ABLATIONS.get(name).learned]
            raise OptionError(
                f"{given} has no effect with ablation={self.ablation}, whose replacements are not "
                f"learned; it belongs to ablation={', '.join(able)}."
            )
        others = {
            "positions": self.positions != "none" and self.positions,
            "evidence": ":".join(self.evidence),
            "selection": SELECTORS.get(self.selection).trials is not None and self.selection,
        }
        for name, value in others.items():
            if value:
                raise OptionError(
                    f"{given} learns constants for the circuits of the curve alone, and "
                    f"{name}={value} runs others: leave one of them out."
                )

    @property
    def prompt_positions(self) -> Positions:
        """How prompts are divided into spans."""
        how = self.span_words or (), self.crossing
        return Positions(self.positions, *how)  # type: ignore[arg-type]

    @property
    def published(self) -> bool:
        """Whether everything is to be as MIB's code has it (`compat=mib`)."""
        return self.compat == "mib"

    def metric_in_force(self, name: str) -> str:
        """The metric that a name stands for: MIB has one of its own under a name of ours."""
        return MIB_METRICS.get(name, name) if self.published else name

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
        kinds = [EVIDENCE.get(name) for name in self.evidence]
        wanted = max([wanted, *(kind.samples for kind in kinds)])
        if METHODS.get(self.method).samples and any(kind.samples_if_kept for kind in kinds):
            wanted = max(wanted, STABILITY_SAMPLES)
        return wanted if self.keep_samples is None else self.keep_samples

    def method_for(self, metric: Metric) -> Method:
        """The method, made sure that it is defined for the level, the ablation and a metric.

        Raises:
            OptionError: It is not.
        """
        options = self.chosen_method_options()
        return check_method(self.method, self.level, self.ablation, metric, options)

    def check_discovery(self) -> None:
        """Make sure, as far as it can be told without a task, that the method can discover.

        Raises:
            OptionError: It is not defined for the level, the ablation or the metric chosen.
        """
        self.method_for(METRICS.get(self.attribution_metric or self.metric or "logit_diff"))

    @property
    def needs(self) -> Needs:
        """What discovery holds in memory beside a pass with gradients."""
        return METHODS.get(self.method).needs(self.level, self.chosen_method_options())

    def to_dict(self) -> dict[str, Any]:
        """Everything that defines the results, as plain JSON."""
        data = asdict(self)
        declared = METHODS.get(self.method).options
        data["method_options"] = {
            name: value
            for name, value in self.chosen_method_options().items()
            if not declared[name].of_a_repetition
        }
        data["selection_options"] = self.chosen_selection_options()
        data["keep_samples"] = self.n_samples
        data["sizes"], data["evidence"] = list(self.sizes), list(self.evidence)
        data["span_words"] = None if self.span_words is None else list(self.span_words)
        return data

    def chosen_method_options(self) -> dict[str, Any]:
        """The method's options: defaults, the run's seed, and what was set."""
        defaults = METHODS.get(self.method).defaults
        seed = {"seed": self.seed} if "seed" in defaults else {}
        published = MIB_OPTIONS if self.published else {}
        preset = {name: value for name, value in published.items() if name in defaults}
        return {**defaults, **seed, **preset, **self.method_options}

    def chosen_selection_options(self) -> dict[str, Any]:
        """The selector's options: defaults, the run's seed, and what was set."""
        defaults = SELECTORS.get(self.selection).defaults
        seed = {"seed": self.seed} if "seed" in defaults else {}
        return {**defaults, **seed, **self.selection_options}

    @classmethod
    def known(cls) -> dict[str, Option]:
        """Every option `from_arguments` takes; where methods share a name, the first one's."""
        found = {name: option for name, option in SETTINGS.items() if name not in OWN_OPTIONS}
        owners = [registry.get(name) for registry in (METHODS, SELECTORS) for name in registry]
        for owner in owners:
            found |= {key: own for key, own in owner.options.items() if key not in found}
        return found

    @classmethod
    def known_keys(cls) -> list[str]:
        """The names of all options `from_arguments` takes."""
        return list(cls.known())

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
        chosen = {key: value for key, value in arguments.items() if key in SETTINGS}
        method = METHODS.get(chosen.get("method", cls.method))
        if chosen.get("compat") == "mib":
            chosen.setdefault(
                "selection", MIB_SELECTION.get(str(chosen.get("method")), cls.selection)
            )
        selector = SELECTORS.get(chosen.get("selection", cls.selection))
        rest = {key: value for key, value in arguments.items() if key not in SETTINGS}
        for key in rest:
            if key not in method.options and key not in selector.options:
                raise OptionError(_belongs_elsewhere(key, arguments))
        own = {k: v for k, v in rest.items() if k in method.options}
        selectors = {k: v for k, v in rest.items() if k in selector.options}
        return cls(**chosen, method_options=own, selection_options=selectors)


def _belongs_elsewhere(key: str, arguments: Mapping[str, Any]) -> str:
    users = [f"method={name}" for name in METHODS if key in METHODS.get(name).options]
    users += [f"selection={name}" for name in SELECTORS if key in SELECTORS.get(name).options]
    method = arguments.get("method", Settings.method)
    selection = arguments.get("selection", Settings.selection)
    return (
        f"{key} has no effect with method={method} and selection={selection}; it belongs to "
        f"{', '.join(users)}."
    )
