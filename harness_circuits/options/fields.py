"""The settings of discovery and evaluation, as fields: their facts, without what checks them together.

`harness_circuits.settings.Settings` adds the checks, which need methods, selectors and metrics. Reports
read the facts here, and so need no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import LEVELS
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.options.kinds import (
    SEED,
    Checked,
    Choice,
    Memory,
    Name,
    Names,
    Sizes,
    Switch,
    Whole,
    mapping,
)
from harness_circuits.options.option import options_of, setting
from harness_circuits.options.words import Words

RANKINGS = ("both", *Ranking)
COMPAT = ("none", "mib")
_OPTIONS = Checked("a mapping of options", mapping)


@dataclass(frozen=True, kw_only=True)
class SettingsFields:
    """Every setting with its kind, bounds, default and meaning.

    The ceilings are far above what is of use, and keep a slip of the pen from running for days:
    100,000 resamples of 200 pairs take seconds, and 1000 null circuits of each of ten sizes are
    20,000 evaluations of a circuit, as against 20 of the run itself.
    """

    method: str = setting(Name("a method's name"), "EAP-IG-inputs", "attribution method")
    method_options: Mapping[str, Any] = setting(_OPTIONS, {}, "the method's own options")
    level: str = setting(
        Choice(LEVELS),
        "edge",
        "units: edges, nodes, neurons (coordinates of outputs) or mlp-neurons (hidden units)",
        names_the_run=True,
    )
    positions: str = setting(
        Choice(("none", "spans", "tokens")),
        "none",
        "units at each place of the prompts: named spans, or every token",
        names_the_run=True,
    )
    span_words: tuple[str, ...] | None = setting(
        Words(30), None, "words at which spans begin, in place of the pairs' own spans", none=True
    )
    crossing: bool = setting(
        Switch(),
        False,
        "with positions, crossing edges of heads between spans as units too",
        names_the_run=True,
    )
    ablation: str = setting(
        Name("an ablation's name"), "patching", "what replaces removed units", names_the_run=True
    )
    direction: str = setting(
        Choice(("noising", "denoising")),
        "noising",
        "clean prompt with the circuit's outside corrupted, or the reverse",
        names_the_run=True,
    )
    mean_over: str = setting(
        Choice(("clean", "corrupted")), "clean", "side of the training pairs that means are over"
    )
    retrain_steps: int = setting(
        Whole(0, 100_000),
        0,
        "steps that ablation=optimal learns anew by for each circuit; 0: shared constants",
        names_the_run=True,
    )
    selection: str = setting(
        Name("a selector's name"), "top-n", "how circuits are chosen by scores", names_the_run=True
    )
    selection_options: Mapping[str, Any] = setting(_OPTIONS, {}, "the selector's own options")
    ranking: str = setting(
        Choice(RANKINGS), "both", "by signed score (CPR), by |score| (CMD), or both"
    )
    sizes: tuple[float, ...] = setting(
        Sizes(), MIB_SIZES, "circuit sizes, as fractions of all units"
    )
    n_discovery: int | None = setting(
        Whole(1, 10**9), None, "training pairs used; None for all", none=True
    )
    metric: str | None = setting(
        Name("a metric's name"), None, "metric in place of the task's own", none=True
    )
    attribution_metric: str | None = setting(
        Name("a metric's name"), None, "metric that discovery differentiates", none=True
    )
    bootstrap_iters: int = setting(
        Whole(0, 1_000_000), 10_000, "resamples behind the intervals", of_a_repetition=True
    )
    seed: int = setting(SEED, 0, "seed of everything random here", of_a_repetition=True)
    pairs_per_pass: int | None = setting(
        Whole(1, 1_000_000),
        None,
        "pairs in one pass; None to choose by max_memory",
        none=True,
        of_a_repetition=True,
    )
    max_memory: int | None = setting(
        Memory(),
        None,
        "memory of passes beside the model; None for a share of what is free",
        none=True,
        of_a_repetition=True,
    )
    keep_samples: int | None = setting(
        Whole(0, 100_000),
        None,
        "groups of training pairs whose score sums are kept; None for what is needed",
        none=True,
        of_a_repetition=True,
    )
    compat: str = setting(
        Choice(COMPAT), "none", "mib: MIB's published protocol", names_the_run=True
    )
    null_circuits: int = setting(
        Whole(0, 1000), 0, "random circuits of each size to compare with", of_a_repetition=True
    )
    evidence: tuple[str, ...] = setting(
        Names("kinds of evidence"),
        (),
        "kinds of evidence beside the curve, for example necessity:tests",
        of_a_repetition=True,
    )
    evidence_draws: int = setting(
        Whole(1, 10_000),
        100,
        "random circuits, or units tried, of each kind of evidence and circuit",
        of_a_repetition=True,
    )
    stability_resamples: int = setting(
        Whole(0, 100_000),
        0,
        "resamples of the training pairs whose top units are compared: 0, or at least 2",
        of_a_repetition=True,
    )


SETTINGS = options_of(SettingsFields)
