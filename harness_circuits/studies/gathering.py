"""Evidence of one experiment: what its kinds (`evidence/`) ask for is run here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harness_circuits.ablation import ABLATIONS
from harness_circuits.attribution import METHODS
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.discovery import Discovery, Setup
from harness_circuits.errors import OptionError
from harness_circuits.evaluation.direction import NOISING
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evaluation.grid import Cell, evaluate_grid
from harness_circuits.evaluation.null_circuits import random_circuits
from harness_circuits.evaluation.result import ExampleValues
from harness_circuits.evaluation.stability import check_samples
from harness_circuits.evidence import EVIDENCE, Subject, gather
from harness_circuits.evidence.kinds import Plan, announcement, by_name
from harness_circuits.evidence.rephrasing import check_templates, chosen_templates
from harness_circuits.evidence.subject import needs_scores
from harness_circuits.machine.progress import within
from harness_circuits.machine.spent import spent
from harness_circuits.pairs.batch import Batch
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings
from harness_circuits.studies.going_on import GoingOn
from harness_circuits.studies.halves import ByRanking, halves_of_both

logger = logging.getLogger("lm_eval.circuit")


@dataclass(frozen=True)
class Templates:
    """The template of each training and evaluation pair, None where it is not known."""

    training: tuple[str | None, ...]
    evaluation: tuple[str | None, ...]


def variations(settings: Settings) -> dict[str, Settings]:
    """Settings with one change each that circuits may be discovered again with."""
    method, options = METHODS.get(settings.method), settings.chosen_method_options()
    found = {}
    if "seed" in options:
        found[f"seed={settings.seed + 1}"] = replace(settings, seed=settings.seed + 1)
    if "ig_steps" in options:
        steps = {"ig_steps": 2 * options["ig_steps"]}
        own = {**settings.method_options, **steps}
        found[f"ig_steps={steps['ig_steps']}"] = replace(settings, method_options=own)
    for name in method.ablations:
        if name == settings.ablation or ABLATIONS.get(name).learned or settings.published:
            continue
        own = {"ablation": name, "retrain_steps": 0, "direction": NOISING}
        found[f"ablation={name}"] = replace(settings, **own)
    return found


def check_evidence(setup: Setup, given: Given | None) -> None:
    """Refuse kinds of evidence that what was given does not serve.

    Raises:
        OptionError: One discovers anew, or resamples scores, and circuits or bare scores were given.
    """
    for name in setup.settings.evidence:
        kind = EVIDENCE.get(name)
        if given is not None and kind.discovers:
            raise OptionError(
                f"evidence={name} discovers circuits anew, and these were given: discover in the same "
                "run, or leave it out."
            )
        if given is not None and kind.samples:
            if given.scores is None:
                raise needs_scores(name)
            check_samples(given.scores)


def check_phrasings(setup: Setup, templates: Templates) -> None:
    """Refuse `evidence=rephrasing`, asked for by name, of pairs that are not of two templates.

    Raises:
        OptionError: They are not.
    """
    if by_name("rephrasing", setup.settings.evidence):
        check_templates(templates.training, templates.evaluation, setup.task)


def announce(setup: Setup, points: int, templates: Templates) -> None:
    """Say what the evidence that is asked for costs, a line for each kind.

    Args:
        setup: Model, task and configuration.
        points: Circuits of all curves.
        templates: Those of the pairs.
    """
    settings = setup.settings
    able, _ = chosen_templates(templates.training, templates.evaluation)
    plan = Plan(points, settings.evidence_draws, len(variations(settings)), len(able))
    for line in announcement(settings.evidence, plan):
        logger.info("%s: %s", setup.task, line)


def gather_evidence(
    discovery: Discovery,
    evaluation: Sequence[Batch],
    found: Given,
    sizes: tuple[float, ...],
    circuits: Mapping[Ranking, Sequence[Circuit]],
    examples: ExampleValues,
    templates: Templates,
    going_on: GoingOn,
) -> dict[str, Any]:
    """Facts about the evidence that is asked for: none where nothing is.

    Args:
        discovery: The training half.
        evaluation: Evaluation pairs.
        found: Where the circuits come from.
        sizes: Requested sizes.
        circuits: Per ranking, the circuit of each size.
        examples: Values per example of these circuits, in this order.
        templates: Those of the pairs.
        going_on: Values that are known from a run that was stopped.
    """
    setup, settings = discovery.setup, discovery.setup.settings
    if not settings.evidence:
        return {}

    def evaluate(some: Sequence[Circuit]) -> Any:
        how = setup.metric, discovery.ablation, setup.ranks
        way = settings.direction
        with within(f"{len(some)} circuit{'s' * (len(some) > 1)}"):
            return evaluate_circuits(setup.model, evaluation, some, *how, direction=way).circuits

    subject = Subject(
        sizes=sizes,
        circuits=circuits,
        full=examples.full,
        empty=examples.empty,
        rounding=examples.rounding,
        evaluate=going_on.values(evaluate, len(examples.full)),
        draws=settings.evidence_draws,
        iters=settings.bootstrap_iters,
        seed=settings.seed,
        scores=found.scores,
        extras=_extras(discovery, evaluation, found, sizes, templates),
    )
    _remember(subject, settings, examples)
    with spent(setup.model.device) as gathering:
        evidence = gather(settings.evidence, subject)
    before = {"evidence_found_before": going_on.found} if going_on.found else {}
    return {"evidence": evidence, "evidence_seconds": gathering.seconds, **before}


def _remember(subject: Subject, settings: Settings, examples: ExampleValues) -> None:
    """The values of the curves' circuits, and of random ones, are known from the curves."""
    known = [circuit for chosen in subject.circuits.values() for circuit in chosen]
    if "sufficiency" in settings.evidence:  # whose random circuits begin with those of the curves
        known += random_circuits(known, settings.null_circuits, settings.seed)
    subject.remember(known, examples.circuits[: len(known)])


def _extras(
    discovery: Discovery,
    evaluation: Sequence[Batch],
    found: Given,
    sizes: tuple[float, ...],
    templates: Templates,
) -> dict[str, Any]:
    """What some kinds need beside values: see `Kind.extras`."""
    setup, settings = discovery.setup, discovery.setup.settings

    def grid(some: Sequence[Circuit]) -> Iterator[Cell]:
        how = setup.metric, discovery.ablation_called, setup.ranks
        return evaluate_grid(setup.model, evaluation, some, *how)

    def discover(numbers: Iterable[int] | None = None, own: Settings = settings) -> ByRanking:
        """Circuits of the same sizes, found on some training pairs or under other settings."""
        pairs = discovery.training
        some = pairs if numbers is None else [pairs[number] for number in numbers]
        again = Discovery(replace(setup, settings=own), some, discovery.pairs_per_pass)
        last["scores"] = again.scores()
        return select(last["scores"])

    def select(scores: Scores) -> ByRanking:
        """As the run's circuits are; all variations have its selector and sizes."""
        how = sizes, settings.rankings, settings.selection
        options = settings.chosen_selection_options()
        return Given.of(scores).circuits(*how, published=settings.published, **options)

    def halves(name: str) -> tuple[int, Iterator[tuple[ByRanking, ByRanking]]]:
        """Of the run and of the variation that was discovered last, which is the named one."""
        return halves_of_both(found.scores, last["scores"], select, settings)

    last: dict[str, Scores] = {}
    changed = variations(settings).items()
    return {
        "grid": grid,
        "metric": setup.metric_name,
        "templates": (templates.training, templates.evaluation),
        "discover": discover,
        "halves": halves,
        "variations": {name: partial(discover, own=other) for name, other in changed},
    }
