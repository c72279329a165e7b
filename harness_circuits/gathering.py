"""Evidence of one experiment: what its kinds (`evidence/`) ask for is run here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.discovery import Discovery, Setup
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evaluation.grid import Cell, evaluate_grid
from harness_circuits.evaluation.result import ExampleValues
from harness_circuits.evidence import Subject, gather
from harness_circuits.evidence.kinds import Plan, announcement
from harness_circuits.machine.spent import spent
from harness_circuits.pairs.tokenise import Batch
from harness_circuits.selection.given import Given

logger = logging.getLogger("lm_eval.circuit")


def announce(setup: Setup, points: int) -> None:
    """Say what the evidence that is asked for costs, a line for each kind.

    Args:
        setup: Model, task and configuration.
        points: Circuits of all curves.
    """
    settings = setup.settings
    for line in announcement(settings.evidence, Plan(points, settings.evidence_draws)):
        logger.info("%s: %s", setup.task, line)


def gather_evidence(
    discovery: Discovery,
    evaluation: Sequence[Batch],
    found: Given,
    sizes: tuple[float, ...],
    circuits: Mapping[Ranking, Sequence[Circuit]],
    examples: ExampleValues,
) -> dict[str, Any]:
    """Facts about the evidence that is asked for: none where nothing is.

    Args:
        discovery: The training half.
        evaluation: Evaluation pairs.
        found: Where the circuits come from.
        sizes: Requested sizes.
        circuits: Per ranking, the circuit of each size.
        examples: Values per example of these circuits, in this order.
    """
    setup, settings = discovery.setup, discovery.setup.settings
    if not settings.evidence:
        return {}

    def evaluate(some: Sequence[Circuit]) -> Any:
        how = setup.metric, discovery.ablation, setup.ranks
        way = settings.direction
        return evaluate_circuits(setup.model, evaluation, some, *how, direction=way).circuits

    def grid(some: Sequence[Circuit]) -> Iterator[Cell]:
        how = setup.metric, discovery.ablation_called, setup.ranks
        return evaluate_grid(setup.model, evaluation, some, *how)

    subject = Subject(
        sizes=sizes,
        circuits=circuits,
        full=examples.full,
        empty=examples.empty,
        rounding=examples.rounding,
        evaluate=evaluate,
        draws=settings.evidence_draws,
        iters=settings.bootstrap_iters,
        seed=settings.seed,
        scores=found.scores,
        extras={"grid": grid, "metric": setup.metric_name},
    )
    known = [circuit for chosen in circuits.values() for circuit in chosen]
    subject.remember(known, examples.circuits[: len(known)])
    with spent(setup.model.device) as gathering:
        evidence = gather(settings.evidence, subject)
    return {"evidence": evidence, "evidence_seconds": gathering.seconds}
