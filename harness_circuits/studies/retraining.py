"""What is said of constants that are learned anew for each circuit: cost before, worth after."""

from __future__ import annotations

import logging
from typing import Any

from harness_circuits.ablation.retrained import PAIRS, Retrained, retraining_passes
from harness_circuits.discovery import Discovery, Setup

logger = logging.getLogger("lm_eval.circuit")


def announce_retraining(setup: Setup, n_circuits: int, n_pairs: int) -> None:
    """Say what it costs; nothing where constants are shared, or nothing is learned.

    Args:
        setup: Model, task and configuration.
        n_circuits: Circuits of all curves; random ones beside them come on top.
        n_pairs: Training pairs.
    """
    settings = setup.settings
    if not settings.retrain_steps:
        return
    n = n_circuits * (1 + settings.null_circuits) + 1
    logger.info(
        "%s: ablation=optimal, retrain_steps=%d learns constants for up to %d circuits, the empty one "
        "included, by %d steps of up to %d pairs each: as long as running a circuit on about %d pairs. "
        "The time left is shown.",
        setup.task,
        settings.retrain_steps,
        n,
        settings.retrain_steps,
        PAIRS,
        round(n * retraining_passes(settings.retrain_steps, n_pairs)),
    )


def retraining_facts(discovery: Discovery) -> dict[str, Any]:
    """For the results: of every circuit, the divergence with shared constants and with its own."""
    if not discovery.setup.settings.retrain_steps:
        return {}
    ablation = discovery.ablation
    return {"retrained": ablation.changes if isinstance(ablation, Retrained) else []}
